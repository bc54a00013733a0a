// One list of tasks; what is looked for stands in the address: state:dead type:email since:1h args.user_id:42

import { get, part, post, remove } from "./api.js";
import { attempt } from "./dialog.js";
import { bad, bold, button, clip, faint, h, link, mono, note, para, row } from "./dom.js";
import { count, plural, when } from "./format.js";
import { deadButtons, purge, replay } from "./dead.js";
import { ask, draw, go, load, may, news, risk } from "./frame.js";
import { chips, empty, head, search, state, table, taskLink, teach } from "./parts.js";

const STATES = ["queued", "scheduled", "running", "dead", "completed"];
const WORDS = { state: "state", type: "type", queue: "queue", error: "error", frame: "frame", parent: "parent", since: "since", older: "older_than" };

let known = null; // types, queues and errors, for suggestions
let more = []; // pages behind the first one
let next = null;
let readMore = 0;
let isSought = false; // somebody wants to type here
const picked = new Set();
let pickedIn = ""; // of which search

/** What a search means: {query, id, problem}. */
function understood(text) {
	const query = { args: [] };
	let [id, problem] = ["", ""];
	for (const word of text.match(/(?:[^\s"]|"[^"]*")+/g) ?? []) {
		const [, name, value] = /^([\w.]+):(.*)$/s.exec(word) ?? [];
		const said = (value ?? "").replaceAll('"', "");
		if (name && Object.hasOwn(WORDS, name)) query[WORDS[name]] = said;
		else if (name?.startsWith("args.")) query.args.push(`${name.slice(5)}:${said}`);
		else if (!name && !id) id = word;
		else problem = `“${word}” means nothing here: use ${Object.keys(WORDS).join(": ")}: args.name: or an id`;
	}
	if (query.state && !STATES.includes(query.state)) problem = `state: is one of ${STATES.join(", ")}`;
	return { query, id, problem };
}

const page = (text, cursor) => get("tasks", { ...understood(text).query, limit: 50, cursor });
const keyOf = ({ queue, id }) => `${queue} ${id}`;

export default {
	title: "Tasks",
	async load({ params }) {
		const text = params.q ?? "";
		const { id, query, problem } = understood(text);
		if (problem) throw new Error(problem);
		if (id && Object.keys(query).length === 1 && !query.args.length) {
			go("task", id, {}, true);
			return null;
		}
		if (params.find) {
			isSought = true;
			go("tasks", "", { q: text }, true);
			return null;
		}
		known ??= await Promise.all([get("types"), get("queues"), get("overview")]);
		const found = await page(text, "");
		[more, next, readMore] = [[], found.next, 0];
		if (pickedIn !== text) picked.clear();
		pickedIn = text;
		return found;
	},
	view(found, { params }) {
		if (!found) return null;
		const text = params.q ?? "";
		const rows = [...found.tasks, ...more];
		const wanted = understood(text).query.state;
		if (isSought) setTimeout(() => document.querySelector("main [type=search]")?.focus());
		isSought = false;
		return [
			head("Tasks", null, [allOf(text), button("Refresh", load, null, "r")]),
			searchField(text),
			filters(text),
			wanted !== "running" && news(...({ dead: ["dead", "died"], completed: ["completed", "completed"] }[wanted] ?? ["enqueued", "came in"])),
			rows.length ? rowsOf(rows) : nothing(text),
			foot(found, rows, text),
			selection(rows),
		];
	},
};

function suggestions(before) {
	const [{ types }, { queues }, { groups }] = known;
	const type = /(?:^|\s)type:(\S+)/.exec(before)?.[1];
	const names = types.filter((one) => !type || one.type === type).flatMap(({ parameters }) => parameters.map(({ name }) => name));
	return new Set([
		...STATES.map((name) => `state:${name}`), ...types.map((one) => `type:${one.type}`), ...queues.map(({ queue }) => `queue:${queue}`),
		...groups.map(({ error }) => `error:${error}`), "since:1h", "older:1d", ...names.map((name) => `args.${name}:`),
	]);
}

function searchField(text) {
	const words = h("datalist", { id: "words" });
	const input = h("input", {
		type: "search", value: text, "aria-label": "Search tasks", list: "words", autocomplete: "off", spellcheck: "false", class: "mono",
		placeholder: "state:dead type:email since:1h args.user_id:42, or an id",
		oninput: () => suggest(),
	});
	const suggest = () => {
		const before = input.value.replace(/\S*$/, "");
		words.replaceChildren(...[...suggestions(before)].map((word) => h("option", { value: before + word })));
	};
	suggest();
	return h("form.search", { role: "search", "data-own": true, "data-key": `search-${text}`,
		onsubmit: (event) => {
			event.preventDefault();
			input.blur();
			go("tasks", "", { q: input.value.trim() });
		} }, input, words, h("kbd", { "aria-hidden": "true" }, "/"), h("button", { type: "submit" }, "Search"));
}

function filters(text) {
	const rest = text.replace(/(^|\s)state:\S*/g, "").trim();
	const now = understood(text).query.state ?? "";
	return chips("By state", ["", ...STATES].map((name) => [name || "all", search(`${name && `state:${name}`} ${rest}`.trim()), now === name]));
}

function rowsOf(rows) {
	const box = (label, isOn, keys) => h("input", {
		type: "checkbox", checked: isOn, "aria-label": label,
		onchange: ({ target }) => {
			for (const key of keys) picked[target.checked ? "add" : "delete"](key);
			draw();
		},
	});
	const boxes = may("operate");
	return table("Tasks", [...(boxes ? [box("Select all", rows.every((one) => picked.has(keyOf(one))), rows.map(keyOf))] : []), "Task", "Type", "State", "Queue-", "Priority-", "Attempt~", "Time#"], rows.map((one) => {
		const key = keyOf(one);
		return {
			key, kind: picked.has(key) && "here",
			cells: [
				...(boxes ? [box(`Select ${one.id}`, picked.has(key), [key])] : []),
				taskLink(one.id, { "data-row": true }), [one.type ? bold(one.type) : unkept(), one.call && clip(h("code.faint", one.call)), one.error && clip(bad(one.error), one.message && `: ${one.message}`)], state(one.state),
				one.queue, one.priority ?? unkept(), one.attempt ? count(one.attempt) : unkept(),
				when(one.finished_at_ms ?? one.died_at_ms ?? one.due_at_ms ?? one.enqueued_at_ms),
			],
		};
	}));
}

/** How far back completed ones are listed, and how that becomes more. */
function horizon() {
	const longer = known[0].types.filter(({ history }) => history).map(({ type, history }) => `${history} of ${type}`).join(", ");
	return `Completed tasks: the last 100 of each queue, without arguments${longer && `; with them ${longer}`}. `;
}
const unkept = () => h("span.faint", { title: "Kept where its type has a history=" }, "–");

function nothing(text) {
	if (next) return empty("Nothing in this part", "There is more to look at: go on below.");
	if (text) return empty("No task fits", horizon(), teach());
	return empty("No tasks", "Call one and it is here:", mono("distq enqueue add '{\"a\": 1, \"b\": 2}'"), para(link("#/enqueue", "Or enqueue one with a form.")));
}

function foot(found, rows, text) {
	const looked = found.read + readMore;
	return h("footer.foot-line",
		note(`${plural(rows.length, "task")} shown`, looked > rows.length && `, ${count(looked)} looked at`,
			next ? "; there are more." : ".", !/state:[^c]/.test(text) && [" ", horizon()]),
		rows.length > 0 && /state:c/.test(text) && teach(),
		next && button("Show more", async () => {
			const cursor = next;
			const behind = await attempt(() => page(text, cursor));
			if (!behind || cursor !== next) return;
			[more, next, readMore] = [[...more, ...behind.tasks], behind.next, readMore + behind.read];
			draw();
		}));
}

/** With all that the search finds; of live ones, as `distq tasks cancel` takes them. */
function allOf(text) {
	const { query: { state: wanted, args, ...which } } = understood(text);
	if (args.length) which.args = args;
	if (wanted === "dead") return deadButtons(Object.keys(which).length ? which : { all: true }, text, " all");
	if (!may("admin")) return null;
	if (["queued", "scheduled"].includes(wanted) && !which.frame) return button("Cancel all", () => cancelAll(text), "danger");
	const { type } = known[0].types.find((one) => one.history && one.type === which.type) ?? {};
	return wanted === "completed" && type && Object.keys(which).length === 1 && risk("Forget all", {
		title: `Forget the completed tasks of ${type}?`, text: "What history= has kept of them is deleted. Results stay.", typed: type,
		act: () => remove(`history/${part(type)}`), said: ({ number }) => `${plural(number, "task")} forgotten.`,
	});
}

async function cancelAll(text) {
	const sweep = async (dry_run, say = () => {}) => {
		let [number, cursor] = [0, ""];
		do {
			const done = await post("tasks/cancel", { filter: text, dry_run, cursor });
			[number, cursor] = [number + done.number, done.next];
			say(`${count(number)} so far …`);
		} while (cursor && !dry_run);
		return { number, text: `${count(number)}${cursor ? " or more" : ""}` };
	};
	const dry = await attempt(() => sweep(true));
	if (dry) {
		ask({
			title: `Cancel ${dry.text} waiting tasks?`, text, submit: "Cancel them", kind: "danger", typed: String(dry.number),
			act: (_, say) => sweep(false, say), said: ({ number }) => `${plural(number, "task")} cancelled.`,
		});
	}
}

/** For the rows that are selected. */
function selection(rows) {
	const chosen = rows.filter((one) => picked.has(keyOf(one)));
	if (!chosen.length) return null;
	const ids = chosen.filter(({ state: now }) => now === "dead").map(({ id }) => id);
	const alive = chosen.filter(({ state: now }) => now !== "dead" && now !== "completed");
	const clear = () => {
		picked.clear();
		draw();
	};
	return h("section.card.picked", { "aria-label": "Selection" }, bold(plural(chosen.length, "task"), " selected"), row(
		ids.length > 0 && button(`Replay ${ids.length}`, () => replay({ ids }, "what is selected"), "primary"),
		ids.length > 0 && may("admin") && button(`Delete ${ids.length}`, () => purge({ ids }, "what is selected"), "danger"),
		alive.length > 0 && button(`Cancel ${alive.length}`, () => cancel(alive), "danger"),
		button("Clear", clear)));
}

function cancel(alive) {
	ask({
		title: `Cancel ${plural(alive.length, "task")}?`, text: "Handlers of those that run are told.", submit: "Cancel them", kind: "danger",
		act: async (_, say) => {
			let done = 0;
			for (const { id } of alive) {
				await post(`tasks/${part(id)}/cancel`, { running: true }).then(() => { done += 1; }, () => {}); // else it has ended
				say(`${done} of ${alive.length}`);
			}
			return done;
		},
		said: (done) => `${done} of ${plural(alive.length, "task")} cancelled; others had ended.`,
	});
}
