// What people have done, by whom and when.

import { bold, mono } from "./dom.js";
import { when } from "./format.js";
import { empty, head, table } from "./parts.js";

export default {
	title: "Actions",
	every: 5,
	load: (_, get) => get("actions"),
	view: ({ actions }) => [
		head("Actions", "What was done here and over the API, but for new tasks: the last 2,000, for 90 days."),
		actions.length ? table("Actions", ["When", "Key", "What", "With-"], actions.map((one, i) => ({
			key: `${one.at_ms} ${i}`, cells: [when(one.at_ms), bold(one.who), mono(one.what), mono(one.said)],
		}))) : empty("Nothing was done yet", "Who pauses, purges, retries, cancels or changes something is named here."),
	],
};
