// The first page: how it goes now.

import { get } from "./api.js";
import { bar, timeline } from "./chart.js";
import { bad, bold, faint, h, mono } from "./dom.js";
import { count, plural, rate, relative, short, when } from "./format.js";
import { live, perSecond } from "./live.js";
import { address, card, empty, head, table, taskLink } from "./parts.js";

const SERIES = [
	{ name: "completed", label: "completed", kind: "good" },
	{ name: "retried", label: "retried", kind: "warn" },
	{ name: "dead", label: "dead", kind: "bad" },
];

export default {
	title: "Overview",
	every: 3,
	load: () => get("overview"),
	view(found) {
		const queues = live.frame?.queues ?? [];
		const sum = (name) => queues.reduce((total, queue) => total + queue[name], 0);
		const waiting = sum("high") + sum("default") + sum("low");
		const processes = found.hosts.reduce((total, host) => total + host.workers.length, 0);
		return [
			head("Overview", null),
			found.pauses.length ? h("p", { class: "banner warn" }, plural(found.pauses.length, "pause"), " in force: ",
				found.pauses.slice(0, 3).map(describePause).join(", "), ". ", h("a", { href: "#/queues" }, "Look")) : null,
			h("div", { class: "tiles" },
				tile("Waiting", short(waiting), waiting ? oldest(found) : "nothing waits", address("tasks", "", { q: "state:queued" })),
				tile("Running", short(sum("running")), `in ${plural(processes, "process", "processes")}`, address("tasks", "", { q: "state:running" })),
				tile("Scheduled", short(sum("scheduled")), "for later, or a retry", address("tasks", "", { q: "state:scheduled" })),
				tile("Dead", short(sum("dead")), sum("dead") ? "kept until replayed or deleted" : "nothing has failed for good", "#/dead", sum("dead") ? "bad" : ""),
				tile("Per second", rate(perSecond("completed")), `${rate(perSecond("enqueued"))} came in`, null),
				tile("Failing", failing(), "of attempts, in 5 minutes", null, perSecond("dead", 300) > 0 ? "bad" : "")),
			h("div", { class: "columns" },
				card("Throughput", live.frames.length > 1 ? timeline(live.frames, SERIES) : h("p", { class: "faint loading" }, "Collecting: it begins when this page is opened.")),
				card("Queues", queues.length ? depths(queues, found.oldest) : h("p", { class: "faint loading" }, "…"), h("a", { href: "#/queues" }, "All"))),
			h("div", { class: "columns" },
				card("Running now", running(found), h("a", { href: "#/workers" }, plural(found.hosts.length, "host"))),
				card("What died of what", groups(found), found.groups.length ? h("a", { href: "#/dead" }, "All") : null)),
			card("Due next", due(found), h("a", { href: "#/schedules" }, "All")),
		];
	},
};

function tile(label, value, about, href, kind = "") {
	const content = [h("span", { class: "label" }, label), bold(value), faint(about)];
	return href ? h("a", { class: `tile ${kind}`, href }, content) : h("div", { class: `tile ${kind}` }, content);
}

function oldest(found) {
	const first = Math.min(...Object.values(found.oldest));
	return Number.isFinite(first) ? `the oldest since ${relative(first).replace(" ago", "")}` : "";
}

function failing() {
	const [failed, done] = [perSecond("dead", 300) + perSecond("retried", 300), perSecond("completed", 300)];
	if (failed + done === 0) return "–";
	const part = (failed / (failed + done)) * 100;
	return `${part > 0 && part < 10 ? part.toFixed(1) : part.toFixed(0)} %`;
}

export const describePause = ({ queue, type, key }) =>
	type === null ? `queue ${queue}` : `${key === null ? "" : `key ${key} of `}type ${type} in ${queue}`;

function depths(queues, oldestOf) {
	const most = Math.max(1, ...queues.map((queue) => queue.high + queue.default + queue.low + queue.scheduled + queue.running));
	return [
		table("Depth of each queue, by priority", ["Queue", "High#", "Default#", "Low#", "Later#", "Runs#", "Oldest#"],
			queues.map((queue) => ({
				key: queue.queue,
				cells: [
					[h("a", { href: address("tasks", "", { q: `queue:${queue.queue}` }) }, queue.queue), bar([
						{ value: queue.running, kind: "run" }, { value: queue.high, kind: "high" }, { value: queue.default, kind: "wait" },
						{ value: queue.low, kind: "low" }, { value: queue.scheduled, kind: "later" }], most)],
					short(queue.high), short(queue.default), short(queue.low), short(queue.scheduled), short(queue.running),
					oldestOf[queue.queue] ? when(oldestOf[queue.queue]) : faint("–"),
				],
			}))),
		h("p", { class: "legend" }, [["run", "running"], ["high", "high"], ["wait", "default"], ["low", "low"], ["later", "scheduled"]].map(([kind, label]) => h("span", { class: `key ${kind}` }, label))),
	];
}

function running({ running: found, hosts }) {
	if (!hosts.length) return empty("No worker is here", "Tasks wait until one starts:", mono("distq run myapp:app"));
	if (!found.length) return empty("All workers are idle", "Whatever a worker has fetched shows up here.");
	return table("Tasks that workers hold", ["Type", "Task", "Called#"], found.slice(0, 12).map((one) => ({
		key: `${one.queue} ${one.id}`, cells: [bold(one.type ?? "?"), taskLink(one.id), when(one.enqueued_at_ms)],
	})));
}

function groups(found) {
	if (!found.groups.length) return empty("No dead letters", "A task that has used up its retries, or is rejected, is kept here with its error until you replay or delete it.");
	return table("Dead letters by type and error", ["Type", "Error", "Number#", "Newest#"], found.groups.map((one) => ({
		key: `${one.type} ${one.error} ${one.frame}`,
		cells: [h("a", { href: address("tasks", "", { q: `state:dead type:${one.type} error:=${one.error}` }) }, one.type), h("span", { class: "clip", title: one.newest_message }, bad(one.error || "?"), " ", one.newest_message),
			`${count(one.number)}${found.groups_complete ? "" : "+"}`, when(one.newest_at_ms)],
	})));
}

function due({ schedules }) {
	if (!schedules.length) return empty("No schedules", "Declare one beside its task:", mono('@app.periodic("0 7 * * mon-fri", tz="Europe/Berlin")'));
	return table("Schedules by their next tick", ["Schedule", "Type", "When", "Next#"], schedules.map((one) => ({
		key: one.name, cells: [h("a", { href: `#/schedules/${encodeURIComponent(one.name)}` }, one.name), one.type, mono(one.when), when(one.next)],
	})));
}
