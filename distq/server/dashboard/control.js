// Enqueueing any declared type through a form made from its function, and then watching it.

import { get, post } from "./api.js";
import { field, toast } from "./dialog.js";
import { bold, faint, h, mono, note, row } from "./dom.js";
import { address, card, empty, head, parsed } from "./parts.js";

export default {
	title: "Enqueue",
	load: () => get("types"),
	view({ types }, context) {
		if (!types.length) return [head("Enqueue"), empty("No type is declared", "The server knows the types of the application that it was started with:", mono("@app.task\ndef add(a: int, b: int) -> int: ..."))];
		const one = types.find(({ type }) => type === context.id) ?? types[0];
		return [
			head("Enqueue", "Any type that the application declares. Arguments are checked against its function."),
			h("div", { class: "columns side-list" },
				h("nav", { class: "list", "aria-label": "Types" }, types.map(({ type, doc }) =>
					h("a", { href: address("enqueue", type), "data-row": true, "data-key": type, class: type === one.type ? "here" : "", "aria-current": type === one.type ? "true" : null }, bold(type), faint(doc.split("\n")[0])))),
				context.may("operate") ? call(one, context) : card(one.type, [h("p", { class: "doc" }, one.doc), note("Your key may look, not enqueue.")])),
		];
	},
};

function call(one, context) {
	const fields = one.parameters.map((parameter) => ({ parameter, made: fieldOf(parameter) }));
	const options = [
		{ name: "priority", label: "Priority", kind: "choice", value: "", choices: [["", "as declared"], ["high", "high"], ["default", "default"], ["low", "low"]] },
		{ name: "delay", label: "Delay", placeholder: "5m", hint: "10s, 5m, 2h; empty: now" }, { name: "id", label: "Id", hint: "Empty: a new one" },
	].map(field);
	const problem = h("p", { class: "problem", role: "alert" });
	const send = async (event) => {
		event.preventDefault();
		problem.textContent = "";
		try {
			const body = { type: one.type, ...argumentsFrom(fields) };
			for (const { name, read } of options) if (read().trim()) body[name] = read().trim();
			const made = await post("tasks", body);
			toast(made.created ? `Task ${made.id} was enqueued.` : "A task of this id is there already: this is it.", "good");
			context.go("task", made.id);
		} catch (error) {
			problem.textContent = error.message;
		}
	};
	return h("section", { class: "card call", "data-own": true, "data-key": `call-${one.type}` },
		h("header", {}, h("h2", {}, one.type), faint(`queue ${one.queue}`)), one.doc ? h("p", { class: "doc" }, one.doc) : null,
		h("form", { onsubmit: send }, fields.length ? fields.map(({ made }) => made.node) : note("It takes no arguments."),
			h("details", {}, h("summary", {}, "Options of this call"), options.map(({ node }) => node)), problem,
			row(h("button", { type: "submit", class: "primary" }, "Enqueue"))));
}

function fieldOf({ name, kind, choices, required, default: value, many, annotation }) {
	const hint = [annotation, many === "positional" ? "a JSON list of further arguments" : many === "keyword" ? "a JSON object of further arguments" : kind === "json" ? "as JSON" : "",
		required || many ? "" : `default ${JSON.stringify(value)}`].filter(Boolean).join(" · ");
	const label = many ? `${many === "positional" ? "*" : "**"}${name}` : name;
	if (kind === "flag") {
		return field({ name, label, kind: "choice", hint, required, value: "", choices: [...(required ? [] : [["", "as declared"]]), ["true", "yes"], ["false", "no"]] });
	}
	if (kind === "choice") return field({ name, label, kind: "choice", hint, required, value: "", choices: [...(required ? [] : [["", "as declared"]]), ...choices.map((one) => [JSON.stringify(one), String(one)])] });
	return field({ name, label, kind: kind === "json" ? "area" : "text", hint, required: required && kind !== "text", mono: kind !== "text" });
}

/** {args, kwargs}. An empty field that has a default is left out. */
function argumentsFrom(fields) {
	const [args, kwargs] = [[], {}];
	let isGap = false;
	for (const { parameter, made } of fields) {
		const text = made.read();
		const { name, kind, many, positional, required } = parameter;
		if (text.trim() === "" && !(required && kind === "text")) {
			if (required) throw new Error(`${name} is needed.`);
			isGap ||= positional && !many;
			continue;
		}
		const value = kind === "text" ? text : kind === "whole" || kind === "number" ? numberFrom(text, name) : parsed(text, name);
		if (many === "positional" || many === "keyword") {
			if (Array.isArray(value) !== (many === "positional") || typeof value !== "object" || value === null) throw new Error(`${name}: give ${many === "positional" ? "a JSON list" : "a JSON object"}.`);
			if (many === "positional") args.push(...value);
			else Object.assign(kwargs, value);
		} else if (positional || hasRest(fields)) {
			if (isGap) throw new Error(`${name}: it is positional, so give those before it, too.`);
			args.push(value);
		} else kwargs[name] = value;
	}
	return { args, kwargs };
}

/** Whether further positional arguments are given: then those before them are positional as well. */
const hasRest = (fields) => fields.some(({ parameter, made }) => parameter.many === "positional" && made.read().trim() !== "");

function numberFrom(text, name) {
	if (!/^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/.test(text)) throw new Error(`${name}: “${text}” is no number.`);
	return Number(text);
}
