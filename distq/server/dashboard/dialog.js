// Questions, forms and short messages.

import { button, faint, h, note, row } from "./dom.js";

/** A few words in the corner, read out by screen readers. */
export function toast(text, kind = "good") {
	const place = document.getElementById("toasts");
	const said = h(`p.toast.${kind}`, text, h("button.quiet", { "aria-label": "Close", onclick: () => said.remove() }, "×"));
	place.append(said);
	while (place.children.length > 4) place.firstElementChild.remove();
	setTimeout(() => said.remove(), kind === "bad" ? 12000 : 5000);
}

/** Does something, and says how it went (`said`: text, or a function of what it brought). Answers that; undefined: failed. */
export async function attempt(action, said) {
	try {
		const found = await action();
		const text = typeof said === "function" ? said(found) : said;
		if (text) toast(text);
		return found;
	} catch (error) {
		toast(error.status !== undefined ? error.message : `Something went wrong: ${error.message}`, "bad");
	}
}

/** The field that chooses a type, a queue, … of a list. */
export const choice = (name, label, words, first) => {
	const choices = [...(first ? [first] : []), ...words.map((word) => (Array.isArray(word) ? word : [word, word]))];
	return { name, label, kind: "choice", value: choices[0]?.[0] ?? "", choices };
};

/**
 * A dialog with a form. fields: see `field`; `typed`: this text is to be typed as well. `act(values, say)` is awaited, and
 * its error shown; then it closes. Answers what `act` brought, or undefined if it was left.
 */
export function form({ title, text, fields = [], typed, submit = "OK", kind = "primary", act }) {
	return new Promise((resolve) => {
		const problem = h("p.problem", { role: "alert" });
		const how = h("p.hint", { role: "status" });
		const yes = h("button", { type: "submit", class: kind }, submit);
		const made = [...fields, ...(typed === undefined ? [] : [{ name: "typed", label: `Type ${typed} to confirm`, must: typed }])].map(field);
		const check = () => { yes.disabled = made.some(({ isReady }) => !isReady()); };
		let found;
		const box = h("dialog.box", { "aria-labelledby": "box-title" },
			h("form", {
				oninput: check,
				onsubmit: async (event) => {
					event.preventDefault();
					yes.disabled = true;
					problem.textContent = "";
					try {
						found = await act(values(made), (said) => { how.textContent = said; });
						box.close();
					} catch (error) {
						problem.textContent = error.message;
						check();
					}
				},
			},
			h("h2", { id: "box-title" }, title), text && note(text), made.map(({ node }) => node), how, problem,
			row(button("Cancel", () => box.close()), yes)));
		opened(box, () => resolve(found));
		check();
	});
}

/** Shows a dialog until it is closed. */
export function opened(box, then) {
	box.addEventListener("close", () => {
		box.remove();
		then?.();
	});
	document.body.append(box);
	box.showModal();
}

const values = (made) => Object.fromEntries(made.map(({ name, read }) => [name, read().trim()]));

let number = 0;

/**
 * One field: {name, label, kind: text | area | choice, value, hint, choices, must, required, mono}.
 * Answers {name, node, read, isReady}.
 */
export function field({ name, label, kind = "text", value = "", hint, choices, must, required, mono, placeholder }) {
	const id = `f${(number += 1)}`;
	const base = { id, name, "aria-describedby": hint && `${id}-hint`, class: (mono || kind === "area") && "mono", autocomplete: "off", spellcheck: "false", placeholder };
	const input = kind === "choice" ? h("select", base, choices.map(([word, text]) => h("option", { value: word, selected: word === value }, text)))
		: kind === "area" ? h("textarea", { ...base, rows: Math.min(14, Math.max(3, value.split("\n").length)), value })
			: h("input", { ...base, type: "text", value });
	const read = () => input.value;
	return {
		name,
		read,
		isReady: () => (must === undefined || read() === must) && (!required || read().trim() !== ""),
		node: h(`div.field.${kind}`, { "data-key": `field-${name}` }, h("label", { for: id }, label, required && faint(" · needed")), input,
			hint && h("p.hint", { id: `${id}-hint` }, hint)),
	};
}
