// The life of one task, and what can be done about it.

import { get, part, post } from "./api.js";
import { form, sure, toast } from "./dialog.js";
import { bold, button, faint, h, mono, note, para, row } from "./dom.js";
import { call, clock, count, duration, plural, python, relative, shell, when } from "./format.js";
import { card, code, empty, head, json, parsed, state } from "./parts.js";

const ALIVE = ["queued", "scheduled", "running"];

export default {
	title: (context) => `Task ${context.id}`,
	every: 2,
	async load({ id }) {
		const facts = await get(`tasks/${part(id)}`);
		const gates = ALIVE.includes(facts.status) ? (await get(`tasks/${part(id)}/why`).catch(() => null))?.gates : null;
		return { facts, gates };
	},
	view({ facts, gates }, context) {
		return [
			h("header", { class: "head" }, h("div", {}, h("p", { class: "crumb" }, h("a", { href: "#/tasks" }, "Tasks"), facts.type ? [" / ", h("a", { href: `#/tasks?q=${encodeURIComponent(`type:${facts.type}`)}` }, facts.type)] : null),
				h("h1", {}, facts.type ?? "Task", " ", state(facts.status)), h("p", { class: "mono faint id" }, facts.id)),
			row(actions(facts, context))),
			facts.corrupt ? h("p", { class: "banner bad" }, "Its message cannot be read: ", facts.corrupt) : null,
			gates?.length && facts.status !== "running" ? h("section", { class: "card why" }, h("h2", {}, "Why is it not running?"), h("ul", {}, gates.map((gate) => h("li", {}, gate.text)))) : null,
			facts.progress ? progress(facts.progress) : null,
			h("div", { class: "columns two" },
				card("Life", life(facts, gates)),
				h("div", {}, card("Call", argumentsOf(facts)), ending(facts), card("Facts", table(facts)))),
			card("Copy", copies(facts)),
		];
	},
};

function actions(facts, context) {
	const buttons = [];
	const { id, status, queue } = facts;
	if (!context.may("operate")) return buttons;
	if (status === "dead") {
		buttons.push(button("Retry", () => context.act(() => post(`tasks/${part(id)}/retry`), "It runs again, with fresh attempts."), "primary"));
		buttons.push(button("Retry with edits", () => edit(facts, context)));
		if (context.may("admin")) {
			buttons.push(h("button", {
				class: "danger", onclick: () => sure({
					title: "Delete this dead letter?", text: `${facts.type} ${id}: its arguments and its error are gone for good.`, submit: "Delete", kind: "danger",
					act: async () => {
						const { number } = await post("dead/purge", { ids: [id], queue });
						toast(number ? "Deleted." : "It is not dead any more.", number ? "good" : "bad");
						context.go("dead");
					},
				}),
			}, "Delete"));
		}
	}
	if (status === "queued" || status === "scheduled") {
		buttons.push(button("Cancel", () => context.act(() => post(`tasks/${part(id)}/cancel`), "Cancelled."), "danger"));
	}
	if (status === "running") {
		buttons.push(button("Cancel", () => stopIt(facts, context), "danger"));
	}
	return buttons;
}

function stopIt({ id, type }, context) {
	form({
		title: "Cancel what runs?", text: `${type} ${id} runs now.`, submit: "Cancel it", kind: "danger",
		fields: [{ name: "how", label: "How", kind: "choice", value: "running", choices: [["running", "Tell its handler: it is raised Cancelled where it is"], ["kill", "End its process: whatever it does"]] }],
		act: async ({ how }) => {
			await post(`tasks/${part(id)}/cancel`, { [how]: true });
			toast("Its worker was told.", "good");
			await context.reload();
		},
	});
}

function edit(facts, context) {
	form({
		title: "Retry with other arguments", text: "The same id, queue and options; the arguments are checked before it is sent.", submit: "Retry",
		fields: [
			{ name: "args", label: "Positional arguments, a JSON list", kind: "area", value: json(facts.args ?? []), mono: true },
			{ name: "kwargs", label: "Keyword arguments, a JSON object", kind: "area", value: json(facts.kwargs ?? {}), mono: true },
		],
		act: async (said) => {
			await post(`tasks/${part(facts.id)}/retry`, { args: parsed(said.args, "The first field"), kwargs: parsed(said.kwargs, "The second field") });
			toast("It runs again, with these arguments.", "good");
			await context.reload();
		},
	});
}

function progress({ done, total, text, at }) {
	const isPart = typeof done === "number" && typeof total === "number" && total > 0;
	return card("Progress", [
		isPart ? h("progress", { max: total, value: Math.min(done, total) }) : null,
		para(isPart ? `${count(done)} of ${count(total)} (${Math.floor((done / total) * 100)} %)` : done !== null && done !== undefined ? count(done) : "", text ? ` · ${text}` : "", " ", faint(when(at))),
	]);
}

// -- the life ---------------------------------------------------------------------------------------------------------

function life(facts, gates) {
	const steps = [];
	const began = facts.enqueued_at_ms;
	if (began) steps.push(step("called", "off", "Called", began, facts.headers?.schedule ? `by schedule ${facts.headers.schedule}` : ""));
	let last = began;
	facts.attempts.forEach((attempt, i) => {
		const from = attempt.at - (attempt.seconds ?? 0) * 1000;
		if (last && from - last > 1) steps.push(gap(last, from, i ? "waited for the next attempt" : "waited"));
		const kind = attempt.outcome === "killed" ? "killed its process" : attempt.outcome ?? "ended";
		steps.push(h("li", { class: "bad", "data-key": `attempt-${i}` },
			para(bold(`Attempt ${attempt.attempt ?? i + 1}`), ` ${kind}`, attempt.seconds !== undefined ? ` after ${duration(attempt.seconds)}` : "", " ", faint(when(attempt.at, "clock"))),
			h("p", { class: "error" }, bold(attempt.type || "?"), attempt.message ? `: ${attempt.message}` : ""),
			h("p", { class: "faint mono small" }, attempt.worker ?? ""),
			attempt.traceback ? h("details", { open: i === facts.attempts.length - 1 }, h("summary", {}, "Traceback"), code(attempt.traceback, "trace")) : null,
			attempt.log ? h("details", {}, h("summary", {}, "Its last log lines"), code(attempt.log, "trace")) : null,
			typeof attempt.retry_in_ms === "number" ? note(`Retry in ${duration(attempt.retry_in_ms / 1000)}`) : null));
		last = attempt.at;
	});
	if (facts.status === "running") {
		steps.push(h("li", { class: "run" }, para(bold(`Attempt ${facts.attempt ?? ""}`), " is at a worker"), h("p", { class: "faint mono small" }, facts.worker ?? ""), (gates ?? []).map((gate) => note(gate.text))));
	} else if (facts.status === "scheduled") steps.push(step("due", "later", facts.attempts.length ? "Next attempt" : "Due", facts.due_at_ms, facts.due_at_ms ? relative(facts.due_at_ms) : ""));
	else if (facts.status === "queued") steps.push(step("waits", "wait", "Waits for a worker", null, last ? `since ${relative(last).replace(" ago", "")}` : ""));
	else if (facts.status === "completed") steps.push(step("end", "good", "Completed", facts.finished_at_ms, facts.seconds !== undefined ? `${duration(facts.seconds)} after its call` : ""));
	else if (facts.status === "dead") steps.push(step("end", "bad", "Dead", null, facts.attempts.at(-1)?.outcome === "rejected" ? "it was rejected" : "it has no attempts left"));
	else steps.push(step("end", "off", facts.status, null, facts.by ? `by ${facts.by}` : ""));
	return h("ol", { class: "life" }, steps);
}

const step = (key, kind, title, at, more) =>
	h("li", { class: kind, "data-key": key }, para(bold(title), " ", more, " ", at ? faint(when(at, "clock")) : null));

const gap = (from, to, text) => h("li", { class: "gap" }, note(`${text} ${duration((to - from) / 1000)}`));

// -- the rest ---------------------------------------------------------------------------------------------------------

function argumentsOf(facts) {
	if (facts.args === undefined) return empty("Its arguments are not kept", "What is completed, cancelled or expired leaves its result alone.");
	const parts = [];
	if (facts.args.length) parts.push(code(json(facts.args)));
	if (Object.keys(facts.kwargs).length || !facts.args.length) parts.push(code(json(facts.kwargs)));
	return parts;
}

function ending({ status, result, error }) {
	if (status === "completed") return card("Result", result === undefined ? note("It keeps no result.") : code(json(result)), null, "good");
	if (error?.type) return card("Died of", [h("p", { class: "error" }, bold(error.type), error.message ? `: ${error.message}` : "")], null, "bad");
	return null;
}

function table(facts) {
	const rows = [
		["Queue", facts.queue], ["Priority", facts.priority], ["Worker", facts.worker], ["Called", facts.enqueued_at_ms && when(facts.enqueued_at_ms, "clock")],
		["Due", facts.due_at_ms && when(facts.due_at_ms, "clock")], ["Expires", facts.expires_at_ms && when(facts.expires_at_ms, "clock")],
		["Finished", facts.finished_at_ms && when(facts.finished_at_ms, "clock")], ["Cancelled by", facts.by],
		["Deliveries lost", facts.deliveries_lost ? plural(facts.deliveries_lost, "time its process died", "times its process died") : null],
		["Headers", facts.headers && Object.keys(facts.headers).length ? code(json(facts.headers)) : null],
	].filter(([, value]) => value);
	return h("dl", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function copies(facts) {
	const { id, type, args, kwargs } = facts;
	const origin = location.href.split("#")[0].replace(/\/$/, "");
	const calls = [];
	if (args !== undefined && type) {
		const isOne = !args.length || (args.length === 1 && !Object.keys(kwargs).length && !isObject(args[0])); // as a payload
		const payload = args.length ? args[0] : kwargs;
		const isNone = !args.length && !Object.keys(kwargs).length;
		const said = isNone ? "" : `, ${python(payload)}`;
		calls.push(["Python", isOne ? `app.enqueue(${JSON.stringify(type)}${said})` : `app.tasks[${JSON.stringify(type)}].delay(${call(args, kwargs)})`]);
		calls.push(["curl", `curl ${shell(`${origin}/api/v1/tasks`)} -H "X-API-Key: $KEY" -H 'Content-Type: application/json' -d ${shell(JSON.stringify({ type, args, kwargs }))}`]);
		if (isOne) calls.push(["CLI", `distq enqueue ${shell(type)}${isNone ? "" : ` ${shell(JSON.stringify(payload))}`}`]);
	}
	return h("div", { class: "copies" }, [...calls, ["Show", `distq tasks show ${shell(id)}`]].map(([name, text]) =>
		h("div", {}, h("span", { class: "label" }, name), mono(text), h("button", {
			class: "quiet", "aria-label": `Copy as ${name}`,
			onclick: async () => {
				await navigator.clipboard.writeText(text);
				toast(`Copied as ${name}.`, "good");
			},
		}, "Copy"))));
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
