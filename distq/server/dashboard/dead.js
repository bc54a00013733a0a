// Dead letters: of what they died, one by one, run again, deleted.

import { get, post } from "./api.js";
import { form, toast, tried } from "./dialog.js";
import { bad, bold, button, h, note } from "./dom.js";
import { count, plural, when } from "./format.js";
import { live } from "./live.js";
import { address, empty, head, table } from "./parts.js";

let more = [];
let next = null;
let seen = null;

const chosen = ({ params }) => ({ type: params.type ?? "", error: params.error ?? "", queue: params.queue ?? "" });

export default {
	title: "Dead letters",
	async load(context) {
		const wanted = chosen(context);
		const [{ groups, complete }, { dead, next: behind }] = await Promise.all([get("dead/groups", { queue: wanted.queue }), get("dead", { ...wanted, limit: 50 })]);
		[more, next, seen] = [[], behind, live.frame?.totals.dead ?? null];
		return { groups, complete, dead };
	},
	view({ groups, complete, dead }, context) {
		const wanted = chosen(context);
		const isNarrow = wanted.type || wanted.error || wanted.queue;
		const what = [wanted.type && `type ${wanted.type}`, wanted.error && `error ${wanted.error}`, wanted.queue && `queue ${wanted.queue}`].filter(Boolean).join(", ");
		const rows = [...dead, ...more];
		if (!groups.length && !isNarrow) {
			return [head("Dead letters", null, button("Refresh", context.reload)),
				empty("No dead letters", "A task that has used up its retries, was rejected, or has killed its worker three times is kept here with its arguments and its error.", "Then you mend the cause and replay it: by one, by group, or by filter.")];
		}
		return [
			head("Dead letters", complete ? null : "Groups are counted over the 10,000 newest.", buttons(wanted, isNarrow, what, context)),
			news(context),
			table("Groups by type and error", ["Type", "Error", "Newest message", "Number#", "Newest#", "Oldest~"], groups.map((one) => ({
				key: `${one.type} ${one.error}`, kind: one.type === wanted.type && one.error === wanted.error ? "here" : "",
				cells: [h("a", { href: address("dead", "", { type: one.type, error: one.error }) }, one.type), bad(one.error || "?"), h("span", { class: "clip" }, one.newest_message),
					count(one.number), when(one.newest_at_ms), when(one.oldest_at_ms)],
			}))),
			h("h2", { class: "between" }, isNarrow ? ["Letters of ", what, " ", h("a", { href: "#/dead" }, "show all")] : "All letters, the newest first"),
			rows.length ? table("Dead letters", ["Task", "Type", "Error", "Attempts~", "Died#"], rows.map((one) => ({
				key: `${one.queue} ${one.id}`,
				cells: [h("a", { class: "mono id", href: address("task", one.id), "data-row": true }, one.id), bold(one.type),
					h("span", { class: "clip" }, bad(one.error || "?"), one.message ? `: ${one.message}` : ""), count(one.attempts), when(one.died_at_ms)],
			}))) : empty(next ? "None in this part" : "None fits", next ? "There are more to look at: go on below." : "They were replayed, deleted, or are too old."),
			next ? h("footer", { class: "foot-line" }, note(`${plural(rows.length, "letter")} shown; there are more.`), h("button", {
				onclick: async () => {
					const cursor = next;
					const behind = await get("dead", { ...wanted, limit: 50, cursor });
					if (cursor !== next) return;
					[more, next] = [[...more, ...behind.dead], behind.next];
					context.draw();
				},
			}, "Show more")) : null,
		];
	},
};

function news(context) {
	const now = live.frame?.totals.dead;
	seen ??= now ?? null;
	if (now === undefined || now <= seen) return null;
	return h("p", { class: "banner" }, `${plural(now - seen, "task")} died since this was read. `, button("Read it again", context.reload));
}

function buttons(wanted, isNarrow, what, context) {
	if (!context.may("operate")) return null;
	const which = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value));
	const meant = isNarrow ? which : { all: true };
	const name = isNarrow ? what : "all dead letters";
	return [
		button(isNarrow ? "Replay these" : "Replay all", () => replay(meant, name, context), "primary"),
		context.may("admin") ? button(isNarrow ? "Delete these" : "Delete all", () => purge(meant, name, context), "danger") : null,
	];
}

/** How many would be meant. */
async function counted(path, meant) {
	const dry = await tried(() => post(path, { ...meant, dry_run: true }));
	return dry && { ...dry, text: `${count(dry.number)}${dry.complete ? "" : " of more: at most 10,000 at once"}` };
}

async function replay(meant, name, context) {
	const dry = await counted("dead/replay", meant);
	if (!dry) return;
	form({
		title: `Replay ${plural(dry.number, "dead letter")}?`, text: `${name}: ${dry.text}. Each gets fresh attempts. Begin with one, and look how it goes.`, submit: "Replay",
		fields: [
			{ name: "number", label: "How many", kind: "choice", value: "all", choices: [["all", `all ${dry.text}`], ["1", "1, to try (the newest)"], ["10", "the 10 newest"]] },
			{ name: "rate", label: "How quickly", placeholder: "10/s", hint: "Empty: all at once. With a rate they are scheduled one after the other, and can be cancelled." },
		],
		act: async ({ number, rate }) => {
			const chosenOnes = number === "all" ? meant : { ids: await newest(meant, Number(number)) };
			const done = await post("dead/replay", { ...chosenOnes, ...(rate.trim() ? { rate: rate.trim() } : {}) });
			toast(`${plural(done.number, "task")} will run again.`, "good");
			await context.reload();
		},
	});
}

async function newest({ all: _, ...which }, number) {
	return (await get("dead", { ...which, limit: number })).dead.map(({ id }) => id);
}

async function purge(meant, name, context) {
	const dry = await counted("dead/purge", meant);
	if (!dry) return;
	form({
		title: `Delete ${plural(dry.number, "dead letter")} for good?`, text: `${name}: ${dry.text}. Their arguments and errors are gone then.`, submit: "Delete", kind: "danger",
		fields: [{ name: "typed", label: `Type ${dry.number} to confirm`, must: String(dry.number) }],
		act: async () => {
			const done = await post("dead/purge", meant);
			toast(`${plural(done.number, "dead letter")} deleted.`, "good");
			await context.reload();
		},
	});
}
