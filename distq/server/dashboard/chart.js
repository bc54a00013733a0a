// Small charts as SVG, with the same numbers as a table.

import { bold, h } from "./dom.js";
import { clock } from "./format.js";
import { table } from "./parts.js";

const WIDTH = 600;
const HEIGHT = 160;
const HIDDEN = { "aria-hidden": "true" };

/** Lines over a time. points: [{at_ms, …}], null leaves a gap; series: [[name, kind, label]], in the legend with their `value`; axis: how
 * long it is, in words and seconds; show: a number for people; rows: the points of the table. */
export function timeline(points, series, { axis: [ago, span_s], show, value, unit = "", least, rows = points }) {
	const end = points.at(-1)?.at_ms ?? Date.now();
	const top = nice(Math.max(least, ...points.flatMap((point) => series.map(([name]) => point[name] ?? 0))));
	const x = (at) => (WIDTH - ((end - at) / (span_s * 1000)) * WIDTH).toFixed(1);
	const y = (number) => (HEIGHT - (number / top) * (HEIGHT - 6)).toFixed(1);
	const line = (d, kind) => h("path", { d, class: kind, "vector-effect": "non-scaling-stroke" });
	const lines = series.map(([name, kind]) => {
		let isOn = false;
		const path = points.map((point) => {
			const begin = isOn ? "L" : "M";
			isOn = point[name] !== null;
			return isOn ? `${begin}${x(point.at_ms)} ${y(point[name])}${begin === "M" ? "h0" : ""}` : "";
		}).join("");
		const isWhole = points.length && !points.some((point) => point[name] === null);
		return [isWhole && line(`${path}V${HEIGHT}H${x(points[0].at_ms)}Z`, `area ${kind}`), line(path, `line ${kind}`)];
	});
	const tick = (place, ...text) => h(`span.tick.${place}`, HIDDEN, text);
	return h("figure",
		h("figcaption", h("span.legend", series.map(([name, kind, label = name]) => h(`span.key.${kind}`, label, " ", bold(value(name)))))),
		h("div.plot",
			h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", ...HIDDEN },
				[0.5, 1].map((part) => line(`M0 ${y(top * part)}H${WIDTH}`, "grid")), lines),
			tick("top", show(top), unit), tick("middle", show(top / 2))),
		h("div.axis", HIDDEN, h("span", `${ago} ago`), h("span", "now")),
		h("details.as-table", h("summary", "As a table"), table("The same as a table", ["Until", ...series.map(([name, , label = name]) => `${label} ${unit}#`)],
			rows.toReversed().map((point) => ({ key: point.at_ms, cells: [clock(point.at_ms), ...series.map(([name]) => (point[name] === null ? "–" : show(point[name])))] })))));
}

/** The next number that people like as the end of an axis. */
function nice(value) {
	const power = 10 ** Math.floor(Math.log10(value));
	return [1, 2, 5, 10].map((part) => part * power).find((end) => end >= value);
}

/** A bar of parts: [[value, kind]]. */
export function bar(parts, total) {
	let x = 0;
	return h("svg.bar", { viewBox: "0 0 100 8", preserveAspectRatio: "none", ...HIDDEN }, parts.map(([value, kind]) => {
		const width = Math.max(value && 0.6, (value / total) * 100);
		x += width;
		return h("rect", { x: x - width, width, height: 8, class: kind });
	}));
}
