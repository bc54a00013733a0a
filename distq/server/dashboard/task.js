// The life of one task, and what can be done about it.

import { part, post, remove } from "./api.js";
import { choice, toast } from "./dialog.js";
import { bold, button, faint, h, link, mono, note, para } from "./dom.js";
import { call, count, duration, plural, python, relative, shell, since, when } from "./format.js";
import { act, ask, go, may, risk } from "./frame.js";
import { address, card, code, empty, head, json, list, parsed, search, state, taskLink, teach } from "./parts.js";

const ALIVE = ["queued", "scheduled", "running"];

export default {
	title: ({ id }) => `Task ${id}`,
	every: 2,
	async load({ id }, get) {
		const path = `tasks/${part(id)}`;
		const facts = await get(path);
		const gates = ALIVE.includes(facts.status) ? (await get(`${path}/why`).catch(() => null))?.gates : null;
		return { facts, gates };
	},
	view({ facts, gates }) {
		return [
			head([facts.type ?? "Task", " ", state(facts.status)], h("span.mono.id", facts.id), may("operate") && actions(facts),
				[link("#/tasks", "Tasks"), facts.type && [" / ", link(search(`type:${facts.type}`), facts.type)]]),
			facts.corrupt && h("p.banner.bad", "Its message cannot be read: ", facts.corrupt),
			gates?.length > 0 && facts.status !== "running" && card("Why is it not running?", h("ul", gates.map(({ text }) => h("li", text))), null, "why"),
			facts.progress && progress(facts.progress),
			h("div.columns.two",
				h("div", card("Life", life(facts, gates)), ending(facts)),
				h("div", card("Call", argumentsOf(facts)), card("Facts", factsOf(facts)))),
			card("Copy", copies(facts)),
		];
	},
};

function actions(facts) {
	const { id, type, status } = facts;
	const path = `tasks/${part(id)}`;
	const tell = (label, order, body, said, kind) => button(label, () => act(() => post(`${path}/${order}`, body), said), kind);
	return {
		dead: [
			tell("Retry", "retry", {}, "It runs again, with fresh attempts.", "primary"),
			button("Retry with edits", () => edit(facts, path)),
			may("admin") && risk("Delete", {
				title: "Delete this dead letter?", text: `${type} ${id}: its arguments and its error are gone for good.`,
				act: () => remove(path), said: "Deleted.", then: () => go("dead"),
			}),
		],
		scheduled: [tell("Run now", "reschedule", { delay: 0 }, "It is due now."), tell("Cancel", "cancel", {}, "Cancelled.", "danger")],
		queued: tell("Cancel", "cancel", {}, "Cancelled.", "danger"),
		running: risk("Cancel", {
			title: "Cancel what runs?", text: `${type} ${id} runs now.`, submit: "Cancel it",
			fields: [choice("how", "How", [["running", "Tell its handler: it is raised Cancelled where it is"], ["kill", "End its process: whatever it does"]])],
			act: ({ how }) => post(`${path}/cancel`, { [how]: true }), said: "Its worker was told.",
		}),
	}[status];
}

function edit({ args, kwargs }, path) {
	ask({
		title: "Retry with other arguments", text: "Id, queue and options stay; the arguments are checked first.", submit: "Retry",
		fields: [
			{ name: "args", label: "Positional arguments, a JSON list", kind: "area", value: json(args ?? []) },
			{ name: "kwargs", label: "Keyword arguments, a JSON object", kind: "area", value: json(kwargs ?? {}) },
		],
		act: (said) => post(`${path}/retry`, { args: parsed(said.args, "The first field"), kwargs: parsed(said.kwargs, "The second field") }),
		said: "It runs again, with these arguments.",
	});
}

function progress({ done, total, text, at }) {
	const isPart = typeof done === "number" && typeof total === "number" && total > 0;
	return card("Progress", [
		isPart && h("progress", { max: total, value: Math.min(done, total) }),
		para(isPart ? `${count(done)} of ${count(total)} (${Math.floor((done / total) * 100)} %)` : (done ?? null) !== null && count(done), text && ` · ${text}`, " ", faint(when(at))),
	]);
}

function life(facts, gates) {
	const { attempts, status, headers } = facts;
	let last = facts.enqueued_at_ms;
	const steps = [last && step("called", "off", "Called", last, headers?.schedule && ["by schedule ", link(address("schedules", headers.schedule), headers.schedule)])];
	attempts.forEach((one, i) => {
		const from = one.at - (one.seconds ?? 0) * 1000;
		if (last && from - last > 1) steps.push(h("li.gap", note(`${i ? "waited for the next attempt" : "waited"} ${duration((from - last) / 1000)}`)));
		const how = one.outcome === "killed" ? "killed its process" : one.outcome ?? "ended";
		steps.push(step(`attempt-${i}`, "bad", `Attempt ${one.attempt ?? i + 1}`, one.at, `${how}${one.seconds === undefined ? "" : ` after ${duration(one.seconds)}`}`,
			errorOf(one), worker(one),
			one.traceback && h("details", { open: i === attempts.length - 1 }, h("summary", "Traceback"), code(one.traceback, "trace")),
			one.log && h("details", h("summary", "Its last log lines"), code(one.log, "trace")),
			typeof one.retry_in_ms === "number" && note(`Retry in ${duration(one.retry_in_ms / 1000)}`)));
		last = one.at;
	});
	const end = {
		running: () => step("now", "run", `Attempt ${facts.attempt ?? ""}`, null, "is at a worker", gates?.map(({ text }) => note(text)) ?? worker(facts)),
		scheduled: () => step("now", "later", attempts.length ? "Next attempt" : "Due", facts.due_at_ms, facts.due_at_ms && relative(facts.due_at_ms)),
		queued: () => step("now", "wait", "Waits for a worker", null, last && `for ${since(last)}`),
		completed: () => step("end", "good", "Completed", facts.finished_at_ms, [facts.seconds !== undefined && `${duration(facts.seconds)} after its call`, facts.ran_s !== undefined && `, ran for ${duration(facts.ran_s)}`]),
		dead: () => step("end", "bad", "Dead", null, attempts.at(-1)?.outcome === "rejected" ? "it was rejected" : "it has no attempts left"),
	}[status] ?? (() => step("end", "off", status, null, facts.by && `by ${facts.by}`));
	return h("ol.life", steps, end());
}

const step = (key, kind, title, at, about, ...more) =>
	h("li", { class: kind, "data-key": key }, para(bold(title), " ", about, " ", at && faint(when(at, "clock"))), more);
const worker = (one) => h("p.faint.mono.small", one.worker);
const errorOf = ({ type, message }) => h("p.error", bold(type || "?"), message && `: ${message}`);

function argumentsOf({ args, kwargs, names, attempt }) {
	if (args === undefined) return empty("Its arguments are not kept", attempt ? "They were larger than 4 KB." : teach());
	const all = [...args.map((value, i) => [names[i], value]), ...Object.entries(kwargs)];
	return all.length ? list(all.map(([name, value]) => [name, (value instanceof Object ? code : mono)(json(value))])) : note("It takes no arguments.");
}

function ending({ status, result, error, attempts }) {
	if (status === "completed") return card("Result", result === undefined ? note("It keeps no result.") : code(json(result)), null, "good");
	return error?.type && !attempts.length && card("Died of", errorOf(error), null, "bad");
}

function factsOf({ headers, deliveries_lost: lost, ...facts }) {
	const clock = (name) => facts[name] && when(facts[name], "clock");
	return list([
		["Queue", facts.queue], ["Parent", facts.parent_id && taskLink(facts.parent_id)], ["Children", link(search(`parent:${facts.id}`), "Look for them")], ["Correlation id", facts.correlation_id !== facts.id && facts.correlation_id], ["Priority", facts.priority], ["Worker", facts.worker], ["Called", clock("enqueued_at_ms")],
		["Due", clock("due_at_ms")], ["Expires", clock("expires_at_ms")], ["Finished", clock("finished_at_ms")], ["Cancelled by", facts.by],
		["Deliveries lost", lost && [plural(lost, "time"), " its process died"]],
		["Headers", headers && Object.keys(headers).length > 0 && code(json(headers))],
	]);
}

function copies({ id, type, args, kwargs }) {
	const calls = [];
	if (args !== undefined && type) {
		const isNone = !args.length && !Object.keys(kwargs).length;
		const isOne = !args.length || (args.length === 1 && !Object.keys(kwargs).length && args[0]?.constructor !== Object); // as a payload
		const payload = args.length ? args[0] : kwargs;
		const url = new URL("api/v1/tasks", location.href.split("#")[0]);
		calls.push(["Python", isOne ? `app.enqueue(${JSON.stringify(type)}${isNone ? "" : `, ${python(payload)}`})` : `app.tasks[${JSON.stringify(type)}].delay(${call(args, kwargs)})`]);
		calls.push(["curl", `curl ${shell(url)} -H "X-API-Key: $KEY" -H 'Content-Type: application/json' -d ${shell(JSON.stringify({ type, args, kwargs }))}`]);
		if (isOne) calls.push(["CLI", `distq enqueue ${shell(type)}${isNone ? "" : ` ${shell(JSON.stringify(payload))}`}`]);
	}
	return h("div.copies", [...calls, ["Show", `distq tasks show ${shell(id)}`]].map(([name, text]) =>
		h("div", h("span.label", name), mono(text), h("button", {
			class: "quiet", "aria-label": `Copy as ${name}`,
			onclick: async () => {
				await navigator.clipboard.writeText(text);
				toast(`Copied as ${name}.`);
			},
		}, "Copy"))));
}
