// The first page: how it goes now, and how it went.

import { bar, timeline } from "./chart.js";
import { cellsOf } from "./dead.js";
import { bad, bold, clip, faint, h, link, mono } from "./dom.js";
import { duration, plural, rate, short, since, when } from "./format.js";
import { inAll, live, perSecond } from "./live.js";
import { address, card, chips, empty, head, search, table, taskLink } from "./parts.js";

const EVENTS = [["enqueued", "run", "came in"], ["completed", "good"], ["retried", "warn"], ["dead", "bad"]];
const PARTS = [["p50", "run", "half within"], ["p95", "later", "95 %"], ["p99", "high", "99 %"]];
const RANGES = { "5m": ["5 min", 300], "1h": ["1 h", 3600], "24h": ["24 h", 86400], "7d": ["7 d", 604800] };

export default {
	title: "Overview",
	every: 3,
	async load({ params }, get) {
		const [found, past] = await Promise.all([get("overview"), get("history", { range: params.range ?? "5m" })]);
		return { ...found, past };
	},
	view(found) {
		const { past, pauses } = found;
		const axis = RANGES[past.range];
		const [ago] = axis;
		const queues = live.frame?.queues ?? [];
		const waiting = inAll("high") + inAll("default") + inAll("low");
		const dead = inAll("dead");
		const { retried, dead: died, completed } = past.totals;
		return [
			head("Overview", null, chips("How far back", Object.entries(RANGES).map(([range, [label]]) => [label, address("overview", "", { range }), range === past.range]))),
			pauses.length > 0 && h("p.banner.warn", plural(pauses.length, "pause"), " in force: ",
				pauses.slice(0, 3).map(describePause).join(", "), ". ", link("#/queues", "Look")),
			h("div.tiles",
				tile("Waiting", short(waiting), waiting ? oldest(found) : "nothing waits", search("state:queued")),
				tile("Running", short(inAll("running")), `in ${plural(found.hosts.flatMap((host) => host.workers).length, "process")}`, search("state:running")),
				tile("Scheduled", short(inAll("scheduled")), "for later, or a retry", search("state:scheduled")),
				tile("Dead", short(dead), dead ? "until replayed or deleted" : "nothing has failed for good", "#/dead", dead && "bad"),
				tile("Per second", rate(perSecond("completed")), `${rate(perSecond("enqueued"))} came in`),
				tile("Failing", percent(retried + died, completed + retried + died), "of attempts", null, retried + died && "bad"),
				tile("95 % within", within(past.p95), `99 %: ${within(past.p99)}`)),
			h("div.columns",
				card("Throughput", throughput(past, axis)),
				card("Run time", timeline(slots(past), PARTS, { axis, show: duration, least: 0.01, value: (name) => within(past[name]) })),
				card("Queues", queues.length ? depths(queues, found.oldest) : null, link("#/queues", "All")),
				card("By type", types(past.types, ago)),
				card("Running now", running(found), link("#/workers", plural(found.hosts.length, "host"))),
				card("What died of what", groups(found), link("#/dead", "All"))),
			card("Due next", due(found), link("#/schedules", "All")),
		];
	},
};

const tile = (label, value, about, href, kind) =>
	h(href ? "a" : "div", { class: `tile ${kind || ""}`, href }, h("span.label", label), bold(value), faint(about));

function oldest(found) {
	const first = Math.min(...Object.values(found.oldest));
	return Number.isFinite(first) && `oldest: ${since(first)}`;
}

function percent(part, all) {
	const found = (part / all) * 100;
	return all ? `${found.toFixed(found > 0 && found < 10 ? 1 : 0)} %` : "–";
}

/** A percentile, which is as exact as its bucket. */
function within(seconds) {
	if (seconds === null) return "–";
	return seconds <= 0.005 ? "< 5 ms" : seconds >= 600 ? "> 10 min" : duration(seconds);
}

export const describePause = ({ queue, type, key }) =>
	type === null ? `queue ${queue}` : `${key === null ? "" : `key ${key} of `}type ${type} in ${queue}`;

/** The slots with their end; the last one is left out while it is too short to tell a rate. */
const slots = (past) => past.slots.filter(({ seconds }) => seconds >= Math.max(10, past.slots[0].seconds / 10)).map((slot) => ({ ...slot, at_ms: slot.at_ms + slot.seconds * 1000 }));

function throughput(past, axis) {
	const rows = slots(past).map((slot) => ({ at_ms: slot.at_ms, ...Object.fromEntries(EVENTS.map(([name]) => [name, slot[name] / slot.seconds])) }));
	const frames = past.range === "5m" ? live.frames : []; // to the second
	const points = [...rows.filter(({ at_ms }) => !(at_ms >= frames[0]?.at_ms)), ...frames];
	return timeline(points, EVENTS, { axis, rows, show: rate, unit: "/s", least: 1, value: (name) => short(past.totals[name]) });
}

function types(found, ago) {
	if (!found.length) return empty(`Nothing has run in ${ago}`, "Here is how often each type fails, and how long it takes.");
	return table("Attempts by type", ["Type", "Attempts#", "Failing#", "Half within~", "95 %#", "99 %#"], found.slice(0, 12).map(({ type, attempts, success, p50, p95, p99 }) => ({
		key: type,
		cells: [link(search(`type:${type}`), type), short(attempts), (success < attempts ? bad : faint)(percent(attempts - success, attempts)), within(p50), within(p95), within(p99)],
	})));
}

const LEVELS = [["running", "run"], ["high", "high"], ["default", "wait"], ["low", "low"], ["scheduled", "later"]];

function depths(queues, oldestOf) {
	const parts = (queue) => LEVELS.map(([name, kind]) => [queue[name], kind]);
	const most = Math.max(1, ...queues.map((queue) => parts(queue).reduce((all, [value]) => all + value, 0)));
	return [
		table("Depth of each queue, by priority", ["Queue", "Runs#", "High#", "Default#", "Low#", "Later#", "Oldest#"], queues.map((queue) => ({
			key: queue.queue,
			cells: [[link(search(`queue:${queue.queue}`), queue.queue), bar(parts(queue), most)], ...LEVELS.map(([name]) => short(queue[name])),
				oldestOf[queue.queue] ? when(oldestOf[queue.queue]) : faint("–")],
		}))),
		h("p.legend", LEVELS.map(([name, kind]) => h(`span.key.${kind}`, name))),
	];
}

function running({ running: found, hosts }) {
	if (!hosts.length) return empty("No worker is here", "Tasks wait until one starts:", mono("distq run myapp:app"));
	if (!found.length) return empty("All workers are idle", "Whatever a worker has fetched shows up here.");
	return table("Tasks that workers hold", ["Type", "Task", "Called#"], found.slice(0, 12).map((one) => ({
		key: `${one.queue} ${one.id}`, cells: [bold(one.type ?? "?"), [taskLink(one.id), clip(faint(one.worker))], when(one.enqueued_at_ms)],
	})));
}

function groups(found) {
	if (!found.groups.length) return empty("No dead letters", "What has failed for good is kept with its error until you replay or delete it.");
	return table("Dead letters by type and error", ["Type", "Error", found.groups_complete ? "Number#" : "Of the last 500#", "Newest#"], found.groups.map((one) => ({
		key: `${one.type} ${one.error} ${one.frame}`, cells: cellsOf(one),
	})));
}

function due({ schedules }) {
	if (!schedules.length) return empty("No schedules", "Declare one beside its task:", mono('@app.periodic("0 7 * * mon-fri", tz="Europe/Berlin")'));
	return table("Schedules by their next tick", ["Schedule", "Type", "When", "Next#"], schedules.map((one) => ({
		key: one.name, cells: [link(address("schedules", one.name), one.name), one.type, mono(one.when), when(one.next)],
	})));
}
