// Numbers, times and values for people.

import { faint, h } from "./dom.js";

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (number) => whole.format(number ?? 0);
export const short = (number) => (Math.abs(number) < 10000 ? count(number) : compact.format(number));
export const plural = (number, one) => `${count(number)} ${number === 1 ? one : `${one}${one.endsWith("s") ? "e" : ""}s`}`;

export function rate(perSecond) {
	if (perSecond >= 100) return short(Math.round(perSecond));
	return perSecond >= 10 || perSecond === 0 ? perSecond.toFixed(0) : perSecond.toFixed(1);
}

const UNITS = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];

/** 0.012 → "12 ms", 75 → "1 min 15 s". */
export function duration(seconds) {
	const s = Math.abs(seconds);
	if (s < 0.001) return "< 1 ms";
	if (s < 1) return `${Math.round(s * 1000)} ms`;
	const [size, name, small, smallName] = UNITS.find(([least]) => s >= least) ?? [];
	if (!size) return `${Number(s.toFixed(s < 10 ? 1 : 0))} s`;
	const [first, second] = [Math.floor(s / size), Math.floor((s % size) / small)];
	return `${first} ${name}${second && first < 10 ? ` ${second} ${smallName}` : ""}`;
}

/** How long ago, or in how long. */
export function relative(ms, now = Date.now()) {
	const seconds = (ms - now) / 1000;
	if (Math.abs(seconds) < 1) return "now";
	const text = duration(Math.abs(seconds) < 60 ? Math.round(seconds) : seconds);
	return seconds > 0 ? `in ${text}` : `${text} ago`;
}

/** For how long by now. */
export const since = (ms) => relative(Math.min(ms, Date.now() - 1000)).replace(" ago", "");

export function clock(ms) {
	const at = new Date(ms);
	const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
	const isToday = at.toDateString() === new Date().toDateString();
	return isToday ? time : `${at.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}

/** A time: local, or how far away; UTC on hover. */
export function when(value, how = "relative") {
	const ms = typeof value === "string" ? Date.parse(value) : value;
	if (!ms || Number.isNaN(ms) || Math.abs(ms) > 8.64e15) return faint("–");
	const iso = new Date(ms).toISOString();
	const utc = `${iso.replace("T", " ").replace("Z", "")} UTC`;
	const text = how === "relative" ? relative(ms) : clock(ms);
	return h("time", { datetime: iso, title: how === "relative" ? `${clock(ms)} · ${utc}` : utc }, text);
}

/** Arguments in one line, as Python would write the call. */
export function call(args = [], kwargs = {}) {
	const parts = [...args.map(python), ...Object.entries(kwargs).map(([name, value]) => (/^\w+$/.test(name) ? `${name}=${python(value)}` : `**${python({ [name]: value })}`))];
	return parts.join(", ");
}

/** A JSON value as Python writes it. */
export function python(value) {
	if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
	if (value instanceof Object) return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${python(item)}`).join(", ")}}`;
	const text = JSON.stringify(value);
	return { null: "None", true: "True", false: "False" }[text] ?? text;
}

/** One word of a POSIX shell. */
export const shell = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
