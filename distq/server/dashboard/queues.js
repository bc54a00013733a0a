// Queues, pauses, limits, budgets.

import { given, part, patch, post, remove } from "./api.js";
import { attempt, choice } from "./dialog.js";
import { bold, button, faint, h, mono, row } from "./dom.js";
import { count, plural, short, when } from "./format.js";
import { act, ask, may } from "./frame.js";
import { live } from "./live.js";
import { describePause } from "./overview.js";
import { address, card, empty, head, mark, search, table } from "./parts.js";

export default {
	title: "Queues & limits",
	every: 5,
	async load(_, get) {
		const [{ queues }, { pauses }, { limits }, { types }, { budgets }] = await Promise.all(["queues", "pauses", "limits", "types", "budgets"].map((path) => get(path)));
		return { queues, pauses, types, budgets, limits: limits.filter((one) => one.is_set || said(one.now) !== "none") };
	},
	view({ queues, pauses, limits, types, budgets }) {
		return [
			head("Queues & limits", null, may("operate") && [
				button("Pause a type or key", () => pauseSome(queues, types)), button("Set a limit", () => setLimit(types, null))]),
			card("Queues", queueTable(live.frame?.queues ?? queues, pauses)),
			card("Pauses", pauses.length ? pauseTable(pauses) : empty("Nothing is paused", "What is paused starts nothing; what comes in waits until it is resumed.")),
			card("Limits", limits.length ? limitTable(limits, types) : empty("No type is limited", "Declare it with the task, or set it here while everything runs:", mono('@app.task(rate="10/s", max_running=3)'))),
			budgets.length > 0 && card("Budgets", budgetTable(budgets)),
		];
	},
};

function queueTable(queues, pauses) {
	return table("Queues", ["Queue", "High#", "Default#", "Low#", "Scheduled#", "Running#", "Dead#", "Processes~", ">"], queues.map((one) => {
		const { queue } = one;
		const isPaused = pauses.some((pause) => pause.queue === queue && pause.type === null);
		const find = (state) => search(`state:${state} queue:${queue}`);
		return {
			key: queue,
			cells: [
				[bold(queue), " ", isPaused && mark("warn", "paused")],
				...["high", "default", "low"].map((level) => number(one[level], find("queued"))), number(one.scheduled, find("scheduled")),
				number(one.running, find("running")), number(one.dead, address("dead", "", { queue }), "bad"), count(one.workers),
				may("operate") && row(
					isPaused ? button("Resume", () => resume({ queue }))
						: button("Pause", () => act(() => post("pauses", { queue }), `Queue ${queue} is paused: what runs goes on.`)),
					may("admin") && button("Purge", () => purge(queue), "danger")),
			],
		};
	}));
}

const number = (value, href, kind) => (value ? h("a", { href, class: kind }, short(value)) : faint("0"));
const resume = ({ queue, type, key }) => act(() => post("pauses/resume", given({ queue, type, key })), "It goes on.");

function pauseTable(pauses) {
	return table("Pauses", ["What", "By", "Since#", ">"], pauses.map((one) => ({
		key: JSON.stringify([one.queue, one.type, one.key]),
		cells: [bold(describePause(one)), [one.by, one.reason && faint(` · ${one.reason}`)], when(one.since), may("operate") && button("Resume", () => resume(one))],
	})));
}

/** Limits as people write them. */
function said({ rate, max_running: most, rate_per_key: rateEach, max_running_per_key: mostEach }) {
	return [rate, most && `${most} at once`, rateEach && `${rateEach} per key`, mostEach && `${mostEach} at once per key`].filter(Boolean).join(", ") || "none";
}

function limitTable(limits, types) {
	return table("Limits of types", ["Type", "Queue", "Holds", "Declared-", "Set by", ">"], limits.map((one) => ({
		key: `${one.queue} ${one.type}`,
		cells: [bold(one.type), one.queue, said(one.now), one.is_set ? said(one.declared) : faint("the same"), one.is_set && [one.by, " ", faint(when(one.since))],
			may("operate") && row(button("Change", () => setLimit(types, one)),
				one.is_set && button("Clear", () => act(() => remove(`limits/${part(one.type)}`, { queue: one.queue }), "What is declared holds again.")))],
	})));
}

function budgetTable(budgets) {
	return table("Budgets", ["Budget", "Queue", "Left", "Parked until-"], budgets.map((one) => ({
		key: one.name,
		cells: [bold(one.name), one.queue, one.amounts.map(({ rate, unit, left }) => `${left === null ? "per key" : `${count(left)} of`} ${rate} ${unit}`.trim()).join(", "), when(one.parked_until, "clock")],
	})));
}

async function purge(queue) {
	const path = `queues/${part(queue)}/purge`;
	const dry = await attempt(() => post(path, { dry_run: true }));
	if (dry) {
		ask({
			title: `Cancel ${plural(dry.number, "waiting task")} of ${queue}?`, text: "What is queued or scheduled is cancelled. What runs goes on, and dead letters stay.", submit: "Purge", kind: "danger", typed: queue,
			fields: [choice("place", "Which", [["high", "priority high"], ["default", "priority default"], ["low", "priority low"], ["scheduled", "scheduled"]], ["", "all that wait"])],
			act: ({ place }) => post(path, given({ place })),
			said: (found) => `${plural(found.number, "task")} cancelled.`,
		});
	}
}

function pauseSome(queues, types) {
	ask({
		title: "Pause a type or a key", text: "Nothing more of it starts until it is resumed.", submit: "Pause",
		fields: [
			choice("type", "Type", types.map(({ type }) => type)),
			{ name: "key", label: "Key", hint: "Such as a tenant, for types that have keys. Empty: the whole type." },
			choice("queue", "Queue", queues.map(({ queue }) => queue), ["", "all"]),
			{ name: "reason", label: "Why", hint: "For those who find it paused." },
		],
		act: (what) => post("pauses", given(what)),
		said: "It is paused.",
	});
}

function setLimit(types, old) {
	ask({
		title: old ? `Limits of ${old.type}` : "Set a limit", submit: "Set", said: "The limit holds from now on.",
		text: `${old ? `It holds: ${said(old.now)}. ` : ""}What you set wins over the code until it is cleared; an empty field stays as it is.`,
		fields: [
			...(old ? [] : [choice("type", "Type", types.map(({ type }) => type))]),
			{ name: "rate", label: "Rate", placeholder: old?.now.rate ?? "20/s", hint: "20/s, 100/m burst 20, 5/s per tenant, or none" },
			{ name: "most", label: "At once", placeholder: old?.now.max_running ?? "3", hint: "3, 1 per tenant, or none" },
		],
		act: ({ type, rate, most }) => patch(`limits/${part(old?.type ?? type)}`, given({ queue: old?.queue, rate, max_running: most })),
	});
}
