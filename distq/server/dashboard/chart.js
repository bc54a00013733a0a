// Small charts as SVG. Whoever cannot see one finds the same numbers as a table.

import { bold, faint, h } from "./dom.js";
import { clock, rate } from "./format.js";

const WIDTH = 600;
const HEIGHT = 160;
const STEP_S = 10;

/** Lines over the last minutes. series: [{name, label, kind}]; points: [{at_ms, …}], one a second. */
export function timeline(points, series) {
	const end = points.at(-1).at_ms;
	const span_s = Math.max(60, Math.min(300, Math.ceil((end - points[0].at_ms) / 60000) * 60));
	const top = nice(Math.max(1, ...points.flatMap((point) => series.map(({ name }) => point[name]))));
	const x = (at) => WIDTH - ((end - at) / (span_s * 1000)) * WIDTH;
	const y = (value) => HEIGHT - (value / top) * (HEIGHT - 6);
	const lines = series.map(({ name, kind }) => {
		const path = points.map((point, i) => `${i ? "L" : "M"}${x(point.at_ms).toFixed(1)} ${y(point[name]).toFixed(1)}`).join("");
		const first = points.length ? x(points[0].at_ms).toFixed(1) : WIDTH;
		return [
			h("path", { d: `${path}L${WIDTH} ${HEIGHT}L${first} ${HEIGHT}Z`, class: `area ${kind}` }),
			h("path", { d: path, class: `line ${kind}`, "vector-effect": "non-scaling-stroke" }),
		];
	});
	const grid = [0.5, 1].map((part) =>
		h("line", { x1: 0, x2: WIDTH, y1: y(top * part), y2: y(top * part), class: "grid", "vector-effect": "non-scaling-stroke" }));
	return h("figure", { class: "chart" },
		h("figcaption", {},
			h("span", { class: "legend" }, series.map(({ label, kind, name }) =>
				h("span", { class: `key ${kind}` }, label, " ", bold(rate(average(points, name))), "/s"))),
			faint(`peak ${rate(Math.max(0, ...points.flatMap((p) => series.map((s) => p[s.name]))))}/s`)),
		h("div", { class: "plot" },
			h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, grid, lines),
			h("span", { class: "tick top", "aria-hidden": "true" }, rate(top)),
			h("span", { class: "tick middle", "aria-hidden": "true" }, rate(top / 2))),
		h("div", { class: "axis", "aria-hidden": "true" }, h("span", {}, `${span_s / 60} min ago`), h("span", {}, "now")),
		asTable(points, series));
}

function average(points, name) {
	const recent = points.slice(-10);
	return recent.length ? recent.reduce((sum, point) => sum + point[name], 0) / recent.length : 0;
}

function asTable(points, series) {
	const rows = [];
	for (let end = points.length; end > 0 && rows.length < 30; end -= STEP_S) {
		const part = points.slice(Math.max(0, end - STEP_S), end);
		rows.push(h("tr", {}, h("td", {}, clock(part.at(-1).at_ms)),
			series.map(({ name }) => h("td", { class: "number" }, rate(part.reduce((sum, p) => sum + p[name], 0) / part.length)))));
	}
	return h("details", { class: "as-table" }, h("summary", {}, "As a table"),
		h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "10 s until"), series.map(({ label }) => h("th", { class: "number" }, `${label} /s`)))),
			h("tbody", {}, rows)));
}

/** The next number that people like as the end of an axis. */
function nice(value) {
	const power = 10 ** Math.floor(Math.log10(value));
	return [1, 2, 5, 10].map((part) => part * power).find((end) => end >= value);
}

/** A bar of parts: [{value, kind, label}]. */
export function bar(parts, total) {
	const sum = Math.max(total ?? 0, parts.reduce((found, { value }) => found + value, 0)) || 1;
	let x = 0;
	const shapes = parts.filter(({ value }) => value > 0).map(({ value, kind, label }) => {
		const width = Math.max(0.6, (value / sum) * 100);
		const shape = h("rect", { x, y: 0, width, height: 8, class: kind }, label ? h("title", {}, label) : null);
		x += width;
		return shape;
	});
	return h("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, shapes);
}
