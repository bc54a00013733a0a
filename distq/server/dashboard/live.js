// The stream of numbers: one frame a second, none while the tab is hidden. Keeps the frames of five minutes.

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
let silence = 0;
let again = 0;
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
	if (document.hidden) {
		close();
		say("paused");
	} else {
		say("reconnecting");
		open();
	}
});

function open() {
	if (source || document.hidden) return;
	source = new EventSource("api/v1/events");
	source.addEventListener("stats", (event) => took(JSON.parse(event.data)));
	source.addEventListener("away", () => {
		listen();
		say("away");
	});
	source.onerror = () => {
		say("reconnecting");
		if (source?.readyState !== EventSource.CLOSED) return; // else the browser tries again by itself
		close();
		again = setTimeout(() => get("session").then(open, () => isWanted && retry()), AGAIN_MS);
	};
	listen();
}

function retry() {
	again = setTimeout(open, AGAIN_MS);
}

function close() {
	clearTimeout(silence);
	clearTimeout(again);
	source?.close();
	source = null;
}

function listen() {
	clearTimeout(silence);
	silence = setTimeout(() => {
		say("reconnecting");
		close();
		open();
	}, SILENT_MS);
}

function took(frame) {
	listen();
	const last = live.frame;
	live.frame = frame;
	const isNext = last && frame.at_ms > last.at_ms && frame.at_ms - last.at_ms < 3500;
	if (isNext) {
		const seconds = (frame.at_ms - last.at_ms) / 1000;
		const per = (name) => Math.max(0, (frame.totals[name] - last.totals[name]) / seconds);
		live.frames.push({
			at_ms: frame.at_ms, enqueued: per("enqueued"), completed: per("completed"), retried: per("retried"), dead: per("dead"),
		});
		if (live.frames.length > KEPT) live.frames.splice(0, live.frames.length - KEPT);
	}
	live.state = "live";
	live.onchange(true);
}

function say(state) {
	if (live.state === state) return;
	live.state = state;
	live.onchange(false);
}

/** Events per second, over ten. */
export function perSecond(name) {
	const recent = live.frames.slice(-10);
	return recent.reduce((sum, one) => sum + one[name], 0) / (recent.length || 1);
}
