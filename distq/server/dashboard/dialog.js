// Questions, forms and short messages.

import { ApiError } from "./api.js";
import { faint, freshId, h, note, row } from "./dom.js";

/** A few words in the corner, read out by screen readers. */
export function toast(text, kind = "info") {
	const place = document.getElementById("toasts");
	const note = h("p", { class: `toast ${kind}` }, text, h("button", { class: "quiet", "aria-label": "Close", onclick: () => note.remove() }, "×"));
	place.append(note);
	while (place.children.length > 4) place.firstElementChild.remove();
	setTimeout(() => note.remove(), kind === "bad" ? 12000 : 5000);
}

/** Does something, and says how it went. `said`: what to say, or a function of what it brought. Answers whether it worked. */
export async function attempt(action, said) {
	try {
		const found = await action();
		const text = typeof said === "function" ? said(found) : said;
		if (text) toast(text, "good");
		return true;
	} catch (error) {
		toast(error instanceof ApiError ? error.message : `Something went wrong: ${error.message}`, "bad");
		return false;
	}
}

/** What an action brings; undefined, and it is said, if it fails. */
export async function tried(action) {
	let found;
	await attempt(async () => { found = await action(); });
	return found;
}

/** The field that chooses a type, a queue, … of a list. */
export const choice = (name, label, words, first) =>
	({ name, label, kind: "choice", value: first?.[0] ?? words[0] ?? "", choices: [...(first ? [first] : []), ...words.map((word) => [word, word])] });

/**
 * A dialog with a form. fields: see `field`; `act(values)` is awaited, and its error shown; then it closes.
 * Answers what `act` brought, or undefined if it was left.
 */
export function form({ title, text, fields = [], submit = "OK", kind = "", act }) {
	return new Promise((resolve) => {
		const problem = h("p", { class: "problem", role: "alert" });
		const button = h("button", { type: "submit", class: kind || "primary" }, submit);
		const made = fields.map(field);
		const check = () => { button.disabled = made.some(({ isReady }) => !isReady()); };
		let found;
		const box = h("dialog", { class: "box", "aria-labelledby": "box-title" },
			h("form", {
				oninput: check,
				onsubmit: async (event) => {
					event.preventDefault();
					button.disabled = true;
					try {
						found = await act(values(made));
						box.close();
					} catch (error) {
						problem.textContent = error.message;
						button.disabled = false;
					}
				},
			},
			h("h2", { id: "box-title" }, title), text ? note(text) : null, made.map(({ node }) => node), problem,
			row(h("button", { type: "button", onclick: () => box.close() }, "Cancel"), button)));
		box.addEventListener("close", () => {
			box.remove();
			resolve(found);
		});
		document.body.append(box);
		box.showModal();
		check();
	});
}

const values = (made) => Object.fromEntries(made.map(({ name, read }) => [name, read()]));

/** A question with yes or no; `typed`: yes needs this text. */
export const sure = ({ typed, ...question }) => form({
	...question, fields: typed === undefined ? [] : [{ name: "typed", label: `Type ${typed} to confirm`, must: typed }],
});

/**
 * One field: {name, label, kind: text | area | choice | flag, value, hint, choices, must, required, mono}.
 * Answers {name, node, read, isReady}.
 */
export function field({ name, label, kind = "text", value = "", hint, choices, must, required, mono, placeholder }) {
	const id = freshId();
	const about = hint ? { "aria-describedby": `${id}-hint` } : {};
	const base = { id, name, ...about, class: mono ? "mono" : null, autocomplete: "off", spellcheck: "false" };
	let input;
	if (kind === "choice") {
		input = h("select", base, choices.map(([word, text]) => h("option", { value: word, selected: word === value }, text)));
	} else if (kind === "area") input = h("textarea", { ...base, rows: Math.min(14, Math.max(3, value.split("\n").length)), value, placeholder });
	else if (kind === "flag") input = h("input", { ...base, type: "checkbox", checked: value });
	else input = h("input", { ...base, type: "text", value, placeholder });
	const read = () => (kind === "flag" ? input.checked : input.value);
	return {
		name,
		read,
		input,
		isReady: () => (must === undefined || input.value === must) && (!required || input.value.trim() !== ""),
		node: h("div", { class: `field ${kind}`, "data-key": `field-${name}` }, h("label", { for: id }, label, required ? faint(" · needed") : null), input,
			hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null),
	};
}
