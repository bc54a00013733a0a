// One list of tasks; what is looked for stands in the address: state:dead type:email args.user_id:42

import { get } from "./api.js";
import { bold, button, faint, h, mono, note, para } from "./dom.js";
import { count, plural, when } from "./format.js";
import { live } from "./live.js";
import { address, empty, head, state, table } from "./parts.js";

const STATES = ["queued", "scheduled", "running", "dead", "completed"];
const WORDS = { state: "state", type: "type", queue: "queue", error: "error", older: "older_than" };

let known = null; // types and queues, for suggestions
let more = []; // pages behind the first one
let next = null;
let readMore = 0;
let seen = null; // the counters when the list was read
let isSought = false; // somebody wants to type here

/** What a search means: {query, args, id, problem}. */
export function understood(text) {
	const found = { query: {}, args: [], id: "", problem: "" };
	for (const word of text.match(/(?:[^\s"]|"[^"]*")+/g) ?? []) {
		const [, name, value] = /^([\w.]+):(.*)$/s.exec(word) ?? [];
		const said = (value ?? "").replaceAll('"', "");
		if (name && Object.hasOwn(WORDS, name)) found.query[WORDS[name]] = said;
		else if (name?.startsWith("args.")) found.args.push(`${name.slice(5)}:${said}`);
		else if (!name && !found.id) found.id = word;
		else found.problem = `“${word}” means nothing here: use state: type: queue: error: older: args.name: or an id`;
	}
	const { query } = found;
	if (query.state && !STATES.includes(query.state)) found.problem = `state: is one of ${STATES.join(", ")}`;
	if (query.error || query.older_than) {
		if (query.state && query.state !== "dead") found.problem = "error: and older: are of dead tasks";
		query.state = "dead";
		if (found.args.length) found.problem = "args. goes with state:, type: and queue: only";
	}
	return found;
}

async function page(text, cursor) {
	const { query, args, problem } = understood(text);
	if (problem) throw new Error(problem);
	if (!query.error && !query.older_than) return get("tasks", { ...query, args, limit: 50, cursor });
	const { state: _, ...rest } = query;
	const found = await get("dead", { ...rest, limit: 50, cursor });
	return { tasks: found.dead.map((one) => ({ ...one, state: "dead", attempt: one.attempts })), next: found.next, read: 0 };
}

export default {
	title: "Tasks",
	async load(context) {
		const text = context.params.q ?? "";
		const { id, query, args } = understood(text);
		if (id && !args.length && !Object.keys(query).length) {
			context.go("task", id, {}, true);
			return null;
		}
		known ??= await suggestions();
		const found = await page(text, "");
		[more, next, readMore] = [[], found.next, 0];
		seen = live.frame?.totals ?? null;
		if (context.params.find) {
			isSought = true;
			context.go("tasks", "", { q: text }, true);
		}
		return found;
	},
	view(found, context) {
		if (!found) return null;
		const text = context.params.q ?? "";
		const rows = [...found.tasks, ...more];
		if (isSought) setTimeout(() => document.querySelector("main input[type=search]")?.focus());
		isSought = false;
		return [
			head("Tasks", null, h("button", { onclick: context.reload, title: "r" }, "Refresh")),
			searchField(text, context),
			filters(text),
			news(found, text, context),
			rows.length ? list(rows) : nothing(text, next),
			foot(found, rows, text, context),
		];
	},
};

async function suggestions() {
	const [types, queues] = await Promise.all([get("types"), get("queues")]);
	return [
		...STATES.map((name) => `state:${name}`), ...types.types.map(({ type }) => `type:${type}`),
		...queues.queues.map(({ queue }) => `queue:${queue}`), "error:", "older:1h", "args.",
	];
}

function searchField(text, context) {
	const input = h("input", {
		type: "search", value: text, "aria-label": "Search tasks", list: "words", autocomplete: "off", spellcheck: "false", class: "mono",
		placeholder: "state:dead type:email args.user_id:42, or an id",
		oninput: () => fillWords(input),
	});
	const words = h("datalist", { id: "words" });
	const fillWords = ({ value }) => {
		const before = value.replace(/\S*$/, "");
		words.replaceChildren(...known.map((word) => h("option", { value: before + word })));
	};
	fillWords(input);
	return h("form", { class: "search", role: "search", "data-own": true, "data-key": `search-${text}`,
		onsubmit: (event) => {
			event.preventDefault();
			input.blur();
			context.go("tasks", "", { q: event.target.querySelector("input").value.trim() });
		} }, input, words, h("kbd", { "aria-hidden": "true" }, "/"), h("button", { type: "submit" }, "Search"));
}

function filters(text) {
	const rest = text.replace(/(^|\s)state:\S*/g, "").trim();
	const now = /(?:^|\s)state:(\S*)/.exec(text)?.[1] ?? "";
	return h("nav", { class: "chips", "aria-label": "By state" }, ["", ...STATES].map((name) =>
		h("a", { href: address("tasks", "", { q: `${name ? `state:${name}` : ""} ${rest}`.trim() }), class: `chip ${now === name ? "here" : ""}`, "aria-current": now === name ? "true" : null }, name || "all")));
}

/** What has happened since the list was read: it is said, and nothing moves under the pointer. */
function news(found, text, context) {
	const now = live.frame?.totals;
	if (!now || !seen) {
		seen ??= now ?? null;
		return null;
	}
	const { query } = understood(text);
	const which = { dead: "dead", completed: "completed" }[query.state] ?? "enqueued";
	const number = now[which] - seen[which];
	if (number <= 0 || query.state === "running") return null;
	const words = { dead: "died", completed: "completed", enqueued: "came in" }[which];
	return h("p", { class: "banner" }, `${plural(number, "task")} ${words} since this list was read. `, button("Read it again", context.reload));
}

function list(rows) {
	return table("Tasks", ["Task", "Type", "State", "Queue-", "Priority-", "Attempt~", "Time#"], rows.map((one, i) => ({
		key: `${one.queue} ${one.id} ${one.state} ${i}`,
		cells: [
			h("a", { class: "mono id", href: address("task", one.id), "data-row": true }, one.id), one.type ? bold(one.type) : faint("–"), state(one.state),
			one.queue, one.priority ?? faint("–"), one.attempt ? count(one.attempt) : faint("–"),
			when(one.died_at_ms ?? one.due_at_ms ?? one.enqueued_at_ms),
		],
	})));
}

function nothing(text, isMore) {
	if (isMore) return empty("Nothing in this part", "There is more to look at: go on below.");
	if (/completed/.test(text)) return empty("Nothing completed is kept", "Of each queue the last 100 completed tasks are listed, without their type.");
	if (text) return empty("No task fits", "Completed tasks are found by their id, and the last 100 of each queue with state:completed.");
	return empty("No tasks", "Call one and it is here:", mono("distq enqueue add '{\"a\": 1, \"b\": 2}'"), para(h("a", { href: "#/enqueue" }, "Or enqueue one with a form.")));
}

function foot(found, rows, text, context) {
	const looked = (found.read ?? 0) + readMore;
	return h("footer", { class: "foot-line" },
		note(`${plural(rows.length, "task")} shown`, looked > rows.length ? `, ${count(looked)} looked at` : "",
			next ? "; there are more." : ".", /state:(dead|queued|scheduled|running)/.test(text) ? "" : " Of completed tasks the last 100 of each queue are listed."),
		next ? h("button", {
			onclick: async () => {
				const cursor = next;
				const behind = await page(text, cursor);
				if (cursor !== next) return;
				[more, next, readMore] = [[...more, ...behind.tasks], behind.next, readMore + (behind.read ?? 0)];
				context.draw();
			},
		}, "Show more") : null);
}
