// The keyboard: / to search, g and a letter for a page, j, k, x in rows of a list, ? for help.

import { opened } from "./dialog.js";
import { button, h, row } from "./dom.js";
import { go, load } from "./frame.js";

let isGoing = 0;

export function listenToKeys(menu) {
	document.addEventListener("keydown", (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
		if (event.target.closest?.("input:not([type=checkbox]), textarea, select")) {
			if (event.key === "Escape") event.target.blur();
			return;
		}
		if (Date.now() - isGoing < 1500) {
			isGoing = 0;
			const found = menu.find(([name]) => name[0] === event.key);
			if (found) go(found[0]);
			return;
		}
		const action = {
			g: () => { isGoing = Date.now(); },
			"/": search,
			j: () => step(1),
			k: () => step(-1),
			x: () => document.activeElement.closest("tr")?.querySelector("[type=checkbox]")?.click(),
			r: load,
			"?": () => showKeys(menu),
		}[event.key];
		if (!action) return;
		event.preventDefault();
		action();
	});
}

function search() {
	const own = document.querySelector("main [type=search]");
	if (own) own.focus();
	else go("tasks", "", { find: "1" });
}

/** The next row that can be opened gets the focus. */
function step(by) {
	const rows = [...document.querySelectorAll("main [data-row]")];
	const at = rows.findIndex((one) => (one.closest("tr") ?? one).contains(document.activeElement));
	rows.at(at < 0 ? Math.min(0, by) : Math.min(rows.length - 1, Math.max(0, at + by)))?.focus();
}

export function showKeys(menu) {
	const rows = [
		["/", "search tasks"], ["j k", "next and previous row"], ["Enter", "open the row"], ["x", "select the row"], ["r", "read the page again"],
		...menu.map(([name, label]) => [`g ${name[0]}`, label]), ["Esc", "leave a field, close a dialog"], ["?", "this list"],
	];
	const box = h("dialog.box", { "aria-labelledby": "keys-title" }, h("h2", { id: "keys-title" }, "Keys"),
		h("table.keys", rows.map(([key, what]) => h("tr", h("th", { scope: "row" }, key.split(" ").map((one) => [h("kbd", one), " "])), h("td", what)))),
		row(button("Close", () => box.close(), "primary")));
	opened(box);
}
