// Schedules: the next ticks, the last ones, pause, change, trigger.

import { get, part, patch, post, remove } from "./api.js";
import { choice, form, sure, toast } from "./dialog.js";
import { bold, button, faint, h, mono, note, para, row } from "./dom.js";
import { call, duration, when } from "./format.js";
import { address, card, code, empty, head, json, parsed, state, table, taskLink } from "./parts.js";

const KINDS = { active: "good", paused: "warn", orphaned: "bad" };
const OVERLAPS = [["queue", "queue: both"], ["skip", "skip this tick"], ["replace", "replace the one before"]];
const MISSED = [["once", "once"], ["skip", "not at all"], ["all", "each of them"]];

export default {
	title: ({ id }) => (id ? `Schedule ${id}` : "Schedules"),
	every: 5,
	async load({ id }) {
		if (id) return { one: await get(`schedules/${part(id)}`) };
		return get("schedules");
	},
	view: ({ schedules, one }, context) => (one ? single(one, context) : list(schedules, context)),
};

const mark = (one) => [h("span", { class: `state ${KINDS[one.state]}` }, one.state), one.is_edited ? h("span", { class: "state off", title: "Changed at run time" }, "edited") : null];

function list(schedules, context) {
	return [
		head("Schedules", null, context.may("operate") ? button("New schedule", () => create(context), "primary") : null),
		schedules.length ? table("Schedules", ["Schedule", "Type", "When", "State", "Next#", ">"], schedules.map((one) => ({
			key: one.name,
			cells: [h("a", { href: address("schedules", one.name), "data-row": true }, one.name), one.type, [mono(one.when), one.tz ? faint(` ${one.tz}`) : null], mark(one),
				one.next.length ? h("span", { title: one.next.map((at) => new Date(at).toLocaleString()).join("\n") }, when(one.next[0])) : faint("–"), buttons(one, context)],
		}))) : empty("No schedules", "Declare one beside its task; it needs no process of its own and survives restarts:", mono('@app.periodic("0 7 * * mon-fri", tz="Europe/Berlin")'), context.may("operate") ? para("Or make one here, for any type that the application declares.") : null),
	];
}

function buttons(one, context) {
	if (!context.may("operate")) return null;
	const path = `schedules/${part(one.name)}`;
	return h("div", { class: "buttons" },
		button("Trigger", () => context.act(() => post(`${path}/trigger`), ({ id }) => `Task ${id} was enqueued.`)),
		one.is_paused ? button("Resume", () => context.act(() => post(`${path}/resume`), "It goes on with its next tick."))
			: button("Pause", () => context.act(() => post(`${path}/pause`), "It does not tick until it is resumed.")));
}

function single(one, context) {
	const path = `schedules/${part(one.name)}`;
	return [
		h("header", { class: "head" }, h("div", {}, h("p", { class: "crumb" }, h("a", { href: "#/schedules" }, "Schedules")), h("h1", {}, one.name, " ", mark(one))),
			row(buttons(one, context), context.may("operate") ? button("Edit", () => edit(one, context)) : null,
				context.may("operate") && one.is_edited ? button("Reset", () => context.act(() => post(`${path}/reset`), "What the code says holds again.")) : null,
				context.may("admin") && (!one.is_declared || one.is_orphaned) ? h("button", {
					class: "danger", onclick: () => sure({ title: `Delete schedule ${one.name}?`, text: "It ticks no more. Tasks that it has enqueued stay.", submit: "Delete", kind: "danger",
						act: async () => {
							await remove(path);
							toast("Deleted.", "good");
							context.go("schedules");
						} }),
				}, "Delete") : null)),
		h("div", { class: "columns two" },
			card("Next five", one.next.length ? h("ol", { class: "ticks" }, one.next.map((at) => h("li", {}, when(at, "clock"), " ", faint(when(at))))) : note(one.is_paused ? "None while it is paused." : "None.")),
			card("What it does", h("dl", {}, [
				["Calls", [bold(one.type), "(", call(one.args, one.kwargs), ")"]], ["When", mono(one.when)], ["Zone", one.tz || "UTC"], ["Queue", one.queue],
				["Jitter", one.jitter ? duration(one.jitter) : null], ["If the one before runs", one.overlap], ["Missed ticks", one.missed], ["From", one.is_declared ? "the code" : "a person, at run time"],
			].filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])))),
		card("Last ticks", one.history?.length ? table("Last ticks", ["Tick", "What became of it", "Task", "Fired#"], one.history.map((tick, i) => ({
			key: `${tick.tick} ${i}`, cells: [when(tick.tick, "clock"), h("span", { class: `state ${tick.outcome === "fired" ? "good" : "warn"}` }, tick.outcome), tick.id ? taskLink(tick.id) : faint("–"), when(tick.at)],
		}))) : empty("It has not ticked yet", "The last 20 ticks are kept here, with the task that each has enqueued.")),
	];
}

const rhythm = ({ when: said, tz, kwargs }) => [
	{ name: "when", label: "When", value: said, mono: true, required: true, hint: "0 7 * * mon-fri, @every 5m, @hourly" },
	{ name: "tz", label: "Zone", value: tz, hint: "Such as Europe/Berlin; empty: UTC" },
	{ name: "kwargs", label: "Keyword arguments, a JSON object", kind: "area", value: json(kwargs), mono: true },
];

function edit(one, context) {
	form({
		title: `Edit ${one.name}`, submit: "Save", text: one.is_declared ? "It stays changed over deployments until it is reset." : "",
		fields: [
			...rhythm(one),
			{ name: "overlap", label: "If the one before still runs", kind: "choice", value: one.overlap, choices: OVERLAPS }, { name: "missed", label: "Ticks that were missed run", kind: "choice", value: one.missed, choices: MISSED },
		],
		act: async (said) => {
			const wanted = { when: said.when.trim(), tz: said.tz.trim(), kwargs: parsed(said.kwargs, "The field of arguments"), overlap: said.overlap, missed: said.missed };
			const changed = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(one[name])));
			if (!Object.keys(changed).length) throw new Error("Nothing is changed.");
			await patch(`schedules/${part(one.name)}`, changed);
			toast("Saved.", "good");
			await context.reload();
		},
	});
}

async function create(context) {
	const { types } = await get("types");
	const made = await form({
		title: "New schedule", submit: "Make it", text: "It is kept in the broker and outlives all programs.",
		fields: [
			{ name: "name", label: "Name", required: true, hint: "Letters, digits and _ . : / -" }, choice("type", "Type", types.map(({ type }) => type)),
			...rhythm({ when: "", tz: "", kwargs: {} }),
		],
		act: ({ kwargs, tz, ...said }) => post("schedules", { ...said, ...(tz.trim() ? { tz: tz.trim() } : {}), kwargs: parsed(kwargs, "The field of arguments") }),
	});
	if (made) context.go("schedules", made.name);
}
