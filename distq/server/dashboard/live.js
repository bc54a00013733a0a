// The numbers: one frame a second, none while the tab is hidden. Keeps those of five minutes.

import { get } from "./api.js";

const KEPT = 300;
const SILENT_MS = 5000;
const AGAIN_MS = 2000;

export const live = {
	state: "connecting", // connecting, live, reconnecting, away (the broker), paused (the tab is hidden)
	frame: null,
	frames: [],
	onchange: () => {},
};

let source = null;
let timer = 0;
let isWanted = false;

export function start() {
	isWanted = true;
	open();
}

export function stop() {
	isWanted = false;
	close();
}

document.addEventListener("visibilitychange", () => {
	if (!isWanted) return;
	close();
	say(document.hidden ? "paused" : "reconnecting");
	open();
});

function open() {
	if (source || !isWanted || document.hidden) return;
	source = new EventSource("api/v1/events");
	source.addEventListener("stats", (event) => took(JSON.parse(event.data)));
	source.addEventListener("away", () => {
		listen();
		say("away");
	});
	source.onerror = () => {
		say("reconnecting");
		if (source?.readyState === EventSource.CLOSED) later(ask, AGAIN_MS); // else the browser tries again by itself
	};
	listen();
}

/** Whether the server is there again, and still knows us. */
function ask() {
	close();
	get("types").then(open, () => isWanted && later(ask, AGAIN_MS));
}

function close() {
	clearTimeout(timer);
	source?.close();
	source = null;
}

function later(action, ms) {
	clearTimeout(timer);
	timer = setTimeout(action, ms);
}

function listen() {
	later(() => {
		say("reconnecting");
		close();
		open();
	}, SILENT_MS);
}

function took(frame) {
	listen();
	const last = live.frame;
	live.frame = frame;
	const seconds = (frame.at_ms - last?.at_ms) / 1000;
	if (seconds > 0 && seconds < 3.5) {
		const per = (name) => Math.max(0, (frame.totals[name] - last.totals[name]) / seconds);
		live.frames.push({ at_ms: frame.at_ms, enqueued: per("enqueued"), completed: per("completed"), retried: per("retried"), dead: per("dead") });
		live.frames.splice(0, live.frames.length - KEPT);
	}
	live.state = "live";
	live.onchange(true);
}

function say(state) {
	if (live.state === state) return;
	live.state = state;
	live.onchange(false);
}

/** How many tasks of all queues are there. */
export const inAll = (name) => live.frame?.queues.reduce((sum, queue) => sum + queue[name], 0) ?? 0;

/** Events per second, over ten. */
export function perSecond(name) {
	const recent = live.frames.slice(-10);
	return recent.reduce((sum, one) => sum + one[name], 0) / (recent.length || 1);
}
