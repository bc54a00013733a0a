// Worker hosts, their processes and stacks, and what hosts can be told.

import { part, post } from "./api.js";
import { bold, button, faint, h, mono, note, row } from "./dom.js";
import { count, duration, plural, when } from "./format.js";
import { act, go, may, risk } from "./frame.js";
import { card, code, empty, head, table, taskLink } from "./parts.js";

const SHOWN = 5;

export default {
	title: "Workers",
	every: 2,
	async load({ params: { stacks } }, get) {
		const [found, shown] = await Promise.all([get("overview"), stacks && get(`workers/${part(stacks)}/stacks`)]);
		return { ...found, shown };
	},
	view({ hosts, running, shown }) {
		const known = new Map(running.map((one) => [`${one.queue} ${one.id}`, one]));
		const processes = hosts.reduce((sum, { workers }) => sum + workers.length, 0);
		return [
			head("Workers", hosts.length > 0 && `${plural(hosts.length, "host")}, ${plural(processes, "process")}`),
			hosts.length ? hosts.map((host) => hostCard(host, known, shown)) : empty("No worker is here", "Tasks wait until one starts; nothing is lost meanwhile:", mono("distq run myapp:app"), "When one vanishes, its lease ends, and its tasks go to another one."),
		];
	},
};

function hostCard({ host, about, workers }, known, shown) {
	const told = [about.pid && `pid ${about.pid}`, about.distq && `distq ${about.distq}`].filter(Boolean).join(" · ");
	const processes = workers.map(({ name, holds, lease_left_ms: left_ms }) => ({
		key: name, cells: [h("span.mono.id", name), holds.length ? held(holds, known) : faint("idle"), duration(left_ms / 1000)],
	}));
	return card(host, [
		workers.length ? table(`Processes of ${host}`, ["Process", "Holds", "Lease#"], processes) : note("No processes: it is quiet until it is resumed, or starts."),
		shown?.host === host && code(shown.text || "They have a second to say what they are at …", "trace"),
	], [told && faint(told), may("admin") && orders(host)], "host");
}

function held(holds, known) {
	return h("ul.held", holds.slice(0, SHOWN).map(({ queue, id }) => {
		const task = known.get(`${queue} ${id}`);
		return h("li", task?.type && bold(task.type), " ", taskLink(id), task?.enqueued_at_ms && faint(" called ", when(task.enqueued_at_ms)));
	}), holds.length > SHOWN && h("li.faint", `and ${count(holds.length - SHOWN)} more`));
}

function orders(host) {
	const path = `workers/${part(host)}`;
	const tell = (label, order, said, signal) => button(label, () => act(() => post(`${path}/${order}`), `${said}.`), null, `${said} (${signal})`);
	return row(
		tell("Quiet", "quiet", "It takes no more tasks", "TSTP"),
		tell("Resume", "resume", "It takes tasks again", "CONT"),
		tell("Restart", "restart", "It loads the code afresh and replaces its processes, one after the other", "HUP"),
		button("Stacks", async () => {
			await act(() => post(`${path}/stacks`));
			go("workers", "", { stacks: host });
		}, null, "What each thread and coroutine is at (USR1)"),
		risk("Stop", {
			title: `Stop ${host}?`, text: "It finishes what runs, gives back the rest, and ends. Whatever started it may start it again.",
			submit: "Stop it", act: () => post(`${path}/stop`), said: "It was told to end.",
		}, "It finishes what runs and ends (TERM)"));
}
