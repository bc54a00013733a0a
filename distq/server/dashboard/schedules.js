// Schedules, and their ticks.

import { get, given, part, patch, post, remove } from "./api.js";
import { choice } from "./dialog.js";
import { bold, button, faint, h, link, mono, note, para, row } from "./dom.js";
import { call, duration, when } from "./format.js";
import { act, ask, go, may, risk } from "./frame.js";
import { address, card, empty, head, json, list, mark, parsed, table, taskLink } from "./parts.js";

const KINDS = { active: "good", paused: "warn", orphaned: "bad" };
const OVERLAPS = [["queue", "queue: both"], ["skip", "skip this tick"], ["replace", "replace the one before"]];
const MISSED = [["once", "once"], ["skip", "not at all"], ["all", "each of them"]];

export default {
	title: ({ id }) => (id ? `Schedule ${id}` : "Schedules"),
	every: 5,
	load: ({ id }, get) => get(id ? `schedules/${part(id)}` : "schedules"),
	view: (found) => (found.schedules ? all(found.schedules) : single(found)),
};

const marks = (one) => [mark(KINDS[one.state], one.state), one.is_edited && mark("off", "edited", "Changed at run time")];

function all(schedules) {
	return [
		head("Schedules", null, may("operate") && button("New schedule", () => create(), "primary")),
		schedules.length ? table("Schedules", ["Schedule", "Type", "When", "State", "Next#", ">"], schedules.map((one) => ({
			key: one.name,
			cells: [h("a", { href: address("schedules", one.name), "data-row": true }, one.name), one.type, [mono(one.when), one.tz && faint(` ${one.tz}`)], marks(one),
				one.next.length ? h("span", { title: one.next.map((at) => new Date(at).toLocaleString()).join("\n") }, when(one.next[0])) : faint("–"), row(buttons(one))],
		}))) : empty("No schedules", "Declare one beside its task; it needs no process of its own and survives restarts:", mono('@app.periodic("0 7 * * mon-fri", tz="Europe/Berlin")'), may("operate") && para("Or make one here, for any type that the application declares.")),
	];
}

function buttons(one) {
	const tell = (label, order, said) => button(label, () => act(() => post(`schedules/${part(one.name)}/${order}`), said));
	return may("operate") && [
		tell("Trigger", "trigger", ({ id }) => `Task ${id} was enqueued.`),
		one.is_paused ? tell("Resume", "resume", "It goes on with its next tick.") : tell("Pause", "pause", "It does not tick until it is resumed."),
	];
}

function single(one) {
	const path = `schedules/${part(one.name)}`;
	return [
		head([one.name, " ", marks(one)], null, [
			buttons(one), may("operate") && button("Edit", () => edit(one)),
			may("operate") && one.is_edited && button("Reset", () => act(() => post(`${path}/reset`), "What the code says holds again.")),
			may("admin") && (!one.is_declared || one.is_orphaned) && risk("Delete", {
				title: `Delete schedule ${one.name}?`, text: "It ticks no more. Tasks that it has enqueued stay.",
				act: () => remove(path), said: "Deleted.", then: () => go("schedules"),
			}),
		], link("#/schedules", "Schedules")),
		h("div.columns.two",
			card("Next five", one.next.length ? h("ol.ticks", one.next.map((at) => h("li", when(at, "clock"), " ", faint(when(at))))) : note(one.is_paused ? "None while it is paused." : "None.")),
			card("What it does", list([
				["Calls", [bold(one.type), "(", call(one.args, one.kwargs), ")"]], ["When", mono(one.when)], ["Zone", one.tz || "UTC"], ["Queue", one.queue],
				["Jitter", one.jitter && duration(one.jitter)], ["If the one before runs", one.overlap], ["Missed ticks", one.missed], ["From", one.is_declared ? "the code" : "a person, at run time"],
			]))),
		card("Last ticks", one.history?.length ? table("Last ticks", ["Tick", "What became of it", "Task", "Fired#"], one.history.map((tick, i) => ({
			key: `${tick.tick} ${i}`, cells: [when(tick.tick, "clock"), mark(tick.outcome === "fired" ? "good" : "warn", tick.outcome), tick.id ? taskLink(tick.id) : faint("–"), when(tick.at)],
		}))) : empty("It has not ticked yet", "The last 20 ticks are kept here, with the task that each has enqueued.")),
	];
}

const rhythm = ({ when: said, tz, kwargs }) => [
	{ name: "when", label: "When", value: said, mono: true, required: true, hint: "0 7 * * mon-fri, @every 5m, @hourly" },
	{ name: "tz", label: "Zone", value: tz, hint: "Such as Europe/Berlin; empty: UTC" },
	{ name: "kwargs", label: "Keyword arguments, a JSON object", kind: "area", value: json(kwargs) },
];
const meant = ({ kwargs, ...said }) => ({ ...said, kwargs: parsed(kwargs, "The field of arguments") });

function edit(one) {
	ask({
		title: `Edit ${one.name}`, submit: "Save", text: one.is_declared && "It stays changed over deployments until it is reset.", said: "Saved.",
		fields: [
			...rhythm(one),
			{ ...choice("overlap", "If the one before still runs", OVERLAPS), value: one.overlap }, { ...choice("missed", "Ticks that were missed run", MISSED), value: one.missed },
		],
		act: (said) => {
			const changed = Object.entries(meant(said)).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(one[name]));
			if (!changed.length) throw new Error("Nothing is changed.");
			return patch(`schedules/${part(one.name)}`, Object.fromEntries(changed));
		},
	});
}

async function create() {
	const { types } = await get("types");
	ask({
		title: "New schedule", submit: "Make it", text: "It is kept in the broker and outlives all programs.",
		fields: [
			{ name: "name", label: "Name", required: true, hint: "Letters, digits and _ . : / -" }, choice("type", "Type", types.map(({ type }) => type)),
			...rhythm({ when: "", tz: "", kwargs: {} }),
		],
		act: (said) => post("schedules", given(meant(said))), said: "It ticks from now on.", then: ({ name }) => go("schedules", name),
	});
}
