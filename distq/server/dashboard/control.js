// Enqueueing any declared type through a form made from its function.

import { get, given, post } from "./api.js";
import { choice, field, toast } from "./dialog.js";
import { bold, faint, h, mono, note, row } from "./dom.js";
import { go, may } from "./frame.js";
import { address, card, empty, head, parsed } from "./parts.js";

export default {
	title: "Enqueue",
	load: () => get("types"),
	view({ types }, { id }) {
		if (!types.length) return [head("Enqueue"), empty("No type is declared", "The server knows the types of the application that it was started with:", mono("@app.task\ndef add(a: int, b: int) -> int: ..."))];
		const one = types.find(({ type }) => type === id) ?? types[0];
		return [
			head("Enqueue", "Any declared type. Arguments are checked against its function."),
			h("div.columns.side-list",
				h("nav.list", { "aria-label": "Types" }, types.map(({ type, doc }) =>
					h("a", { href: address("enqueue", type), "data-row": true, "data-key": type, "aria-current": type === one.type && "true" }, bold(type), faint(doc.split("\n")[0])))),
				may("operate") ? callForm(one) : card(one.type, [h("p.doc", one.doc), note("Your key may look, not enqueue.")])),
		];
	},
};

function callForm({ type, queue, doc, parameters }) {
	const fields = parameters.map((parameter) => ({ ...parameter, ...fieldOf(parameter) }));
	const options = [
		choice("priority", "Priority", ["high", "default", "low"], ["", "as declared"]),
		{ name: "delay", label: "Delay", placeholder: "5m", hint: "10s, 5m, 2h; empty: now" }, { name: "id", label: "Id", hint: "Empty: a new one" },
	].map(field);
	const problem = h("p.problem", { role: "alert" });
	const send = async (event) => {
		event.preventDefault();
		problem.textContent = "";
		try {
			const said = Object.fromEntries(options.map(({ name, read }) => [name, read().trim()]));
			const made = await post("tasks", { type, ...argumentsFrom(fields), ...given(said) });
			toast(made.created ? `Task ${made.id} was enqueued.` : "A task of this id is there already: this is it.");
			go("task", made.id);
		} catch (error) {
			problem.textContent = error.message;
		}
	};
	return h("section.card.call", { "data-own": true, "data-key": `call-${type}` },
		h("header", h("h2", type), faint(`queue ${queue}`)), doc && h("p.doc", doc),
		h("form", { onsubmit: send }, fields.length ? fields.map(({ node }) => node) : note("It takes no arguments."),
			h("details", h("summary", "Options of this call"), options.map(({ node }) => node)), problem,
			row(h("button", { type: "submit", class: "primary" }, "Enqueue"))));
}

const MANY = { positional: ["*", "a JSON list"], keyword: ["**", "a JSON object"] };

function fieldOf({ name, kind, choices, required, default: value, many, annotation }) {
	const [star, what] = MANY[many] ?? ["", ""];
	const hint = [annotation, what ? `${what} of further arguments` : kind === "json" && "as JSON", !required && !many && `default ${JSON.stringify(value)}`].filter(Boolean).join(" · ");
	const words = kind === "flag" ? [["true", "yes"], ["false", "no"]] : kind === "choice" && choices.map((one) => [JSON.stringify(one), String(one)]);
	if (words) return field({ ...choice(name, name, words, required ? null : ["", "as declared"]), hint, required });
	return field({ name, label: star + name, kind: kind === "json" ? "area" : "text", hint, required: required && kind !== "text", mono: kind !== "text" });
}

/** {args, kwargs}. An empty field that has a default is left out. */
function argumentsFrom(fields) {
	const [args, kwargs] = [[], {}];
	let isPlaced = fields.some(({ many, read }) => many === "positional" && read().trim()); // then those before it are, too
	let isGap = false;
	for (const { name, kind, many, positional, required, read } of fields) {
		const text = read();
		const hasPlace = positional || isPlaced;
		if (many) isPlaced = false;
		if (!text.trim() && !(required && kind === "text")) {
			if (required) throw new Error(`${name} is needed.`);
			isGap ||= hasPlace;
			continue;
		}
		if (hasPlace && isGap) throw new Error(`${name}: it is positional, so give those before it, too.`);
		const value = kind === "text" ? text : kind === "whole" || kind === "number" ? numberFrom(text, name) : parsed(text, name);
		if (many) {
			if (!(value instanceof Object) || Array.isArray(value) !== (many === "positional")) throw new Error(`${name}: give ${MANY[many][1]}.`);
			if (many === "positional") args.push(...value);
			else Object.assign(kwargs, value);
		} else if (hasPlace) args.push(value);
		else kwargs[name] = value;
	}
	return { args, kwargs };
}

function numberFrom(text, name) {
	if (!/^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/.test(text)) throw new Error(`${name}: “${text}” is no number.`);
	return /^\s*-?[1-9]\d*\s*$/.test(text) ? parsed(text, name) : Number(text);
}
