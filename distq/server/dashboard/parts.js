// What several pages show.

import { given, parse } from "./api.js";
import { bold, h, mono, note, para, row } from "./dom.js";

/** The address of a page. */
export function address(name, id = "", params = {}) {
	const query = new URLSearchParams(given(params)).toString();
	return `#/${name}${id ? `/${encodeURIComponent(id)}` : ""}${query && `?${query}`}`;
}

/** The list of tasks that a search finds. */
export const search = (q) => address("tasks", "", { q });

export const STATE_KINDS = {
	queued: "wait", scheduled: "later", running: "run", completed: "good", dead: "bad", cancelled: "off", expired: "off", unknown: "off",
};

export const mark = (kind, text, title) => h(`span.state.${kind}`, { title }, text);
export const state = (name) => mark(STATE_KINDS[name] ?? "off", name);

export const taskLink = (id, attributes = {}) => h("a.mono.id", { href: address("task", id), ...attributes }, id);

/** A page begins with: title, what is below it, buttons, and what it belongs to. */
export const head = (title, about, buttons, crumb) =>
	h("header.head", h("div", crumb && h("p.crumb", crumb), h("h1", title), about && note(about)), row(buttons));

/** Links of which one is where we are. items: [[what it is called, its address, whether]]. */
export const chips = (label, items) => h("nav.chips", { "aria-label": label }, items.map(([name, href, isHere]) =>
	h("a.chip", { href, "aria-current": isHere && "true" }, name)));

const KINDS = { "#": "number", "~": "number wide", "-": "wide", ">": "actions" };

/** A table. The last letter of a head says of what kind its column is: # numbers, - for wide screens, ~ both, > buttons. */
export function table(label, heads, rows) {
	const named = heads.map((text) => (KINDS[text.at?.(-1)] ? [text.slice(0, -1), KINDS[text.at(-1)]] : [text, null]));
	return h("div.scroll", { tabindex: 0, role: "region", "aria-label": label, "data-key": label },
		h("table", h("caption.unseen", label),
			h("thead", h("tr", named.map(([text, kind]) => h("th", { scope: "col", class: kind }, text || h("span.unseen", "Actions"))))),
			h("tbody", rows.map(({ key, cells, kind }) => h("tr", { "data-key": key, class: kind }, cells.map((cell, i) => h("td", { class: named[i][1], "data-head": named[i][0] }, cell)))))));
}

/** Names, and values that are there. */
export const list = (pairs) => h("dl", pairs.filter(([, value]) => value).map(([name, value]) => [h("dt", [name]), h("dd", [value])]));

/** Where there is nothing: what would be here, and how it gets here. */
export const empty = (title, ...text) => h("div.empty", bold(title), text.map((one) => (typeof one === "string" ? para(one) : one)));

/** How more of completed tasks is kept. */
export const teach = () => note("To keep more of completed tasks, with arguments and run time: ", mono("@app.task(history=1000)"), " or ", mono('history="7d"'), ".");

export const code = (text, kind = "") => h(`pre.code.${kind}`, { tabindex: 0 }, mono(text));

export const card = (title, content, more, kind = "") =>
	h(`section.card.${kind}`, { "data-key": title }, title && h("header", h("h2", title), more), content);

/** A JSON value on several lines. */
export const json = (value) => JSON.stringify(value, null, 2) ?? "null";

/** The value that somebody has typed as JSON. Throws an Error that says where it is wrong. */
export function parsed(text, what) {
	try {
		return parse(text);
	} catch (error) {
		throw new Error(`${what} is no JSON: ${error.message}`);
	}
}
