// Worker hosts, their processes, and telling them to be quiet or to end.

import { get, part, post } from "./api.js";
import { sure, toast } from "./dialog.js";
import { bold, faint, h, mono } from "./dom.js";
import { count, duration, plural, when } from "./format.js";
import { card, empty, head, table, taskLink } from "./parts.js";

export default {
	title: "Workers",
	every: 2,
	async load() {
		const [{ hosts }, { running }] = await Promise.all([get("workers"), get("overview")]);
		return { hosts, running };
	},
	view({ hosts, running }, context) {
		const known = new Map(running.map((one) => [`${one.queue} ${one.id}`, one]));
		const processes = hosts.reduce((sum, host) => sum + host.workers.length, 0);
		return [
			head("Workers", hosts.length ? `${plural(hosts.length, "host")}, ${plural(processes, "process", "processes")}` : null),
			hosts.length ? hosts.map((host) => one(host, known, context)) : empty("No worker is here", "Tasks wait until one starts; nothing is lost meanwhile:", mono("distq run myapp:app"), "A host that vanishes is gone from this page when its lease ends, and its tasks go to another one."),
		];
	},
};

function one(host, known, context) {
	const { about } = host;
	const told = [about.pid ? `pid ${about.pid}` : "", about.distq ? `distq ${about.distq}` : ""].filter(Boolean).join(" · ");
	return card(host.host, table(`Processes of ${host.host}`, ["Process", "Holds", "Lease#"], host.workers.map((worker) => ({
		key: worker.name,
		cells: [h("span", { class: "mono id" }, worker.name), worker.holds.length ? h("ul", { class: "held" }, worker.holds.slice(0, 5).map(({ queue, id }) => {
			const task = known.get(`${queue} ${id}`);
			return h("li", {}, task?.type ? bold(task.type) : null, " ", taskLink(id), task?.enqueued_at_ms ? faint(" called ", when(task.enqueued_at_ms)) : null);
		}), worker.holds.length > 5 ? h("li", { class: "faint" }, `and ${count(worker.holds.length - 5)} more`) : null) : faint("idle"), duration(worker.lease_left_ms / 1000)],
	}))), [told ? faint(told) : null, context.may("admin") ? h("div", { class: "buttons" },
		h("button", { title: "It takes no more tasks (TSTP)", onclick: () => tell(host.host, "quiet", "It takes no more tasks.", context) }, "Quiet"),
		h("button", { title: "It takes tasks again (CONT)", onclick: () => tell(host.host, "resume", "It takes tasks again.", context) }, "Resume"),
		h("button", { class: "danger", title: "It finishes what runs and ends (TERM)", onclick: () => stopIt(host.host, context) }, "Stop")) : null], "host");
}

const tell = (host, order, said, context) => context.act(() => post(`workers/${part(host)}/${order}`), said);

function stopIt(host, context) {
	sure({
		title: `Stop ${host}?`, text: "It takes no more tasks, finishes what runs, gives back the rest, and ends. Whatever started it may start it again.", submit: "Stop it", kind: "danger",
		act: async () => {
			await post(`workers/${part(host)}/stop`);
			toast("It was told to end.", "good");
			await context.reload();
		},
	});
}
