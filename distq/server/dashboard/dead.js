// Dead letters: of what they died; run again and deleted, by group or all that a search finds.

import { get, given, part, post } from "./api.js";
import { attempt, choice } from "./dialog.js";
import { bad, button, clip, h, link, note, row } from "./dom.js";
import { count, plural, when } from "./format.js";
import { ask, go, load, may, news } from "./frame.js";
import { inAll } from "./live.js";
import { empty, head, search, table } from "./parts.js";

const TRIED_S = 30;

export default {
	title: "Dead letters",
	load: ({ params: { queue } }) => get("dead/groups", { queue }),
	view({ groups, complete }, { params: { queue } }) {
		const all = queue ? { queue } : { all: true };
		return [
			head("Dead letters", `${queue ? `Of queue ${queue}. ` : ""}${complete ? "" : "Groups are counted over the 10,000 newest."}`, [
				groups.length > 0 && deadButtons(all, queue ? `queue ${queue}` : "all dead letters", " all"), button("Refresh", load, null, "r")]),
			news("dead", "died"),
			groups.length ? table("Dead letters by type, error and place", ["Type", "Error", "Number#", "Newest#", "Oldest~", ">"], groups.map((one) => ({
				key: JSON.stringify([one.type, one.error, one.frame]),
				cells: [...cellsOf(one, queue), when(one.oldest_at_ms), row(deadButtons(given({ ...whichOf(one), queue }), `${one.type}, ${one.error || "?"}`))],
			}))) : empty("No dead letters", "A task that used up its retries, was rejected, or killed its worker three times is kept here with arguments and error.", "Mend the cause, then replay one, a group, or what a search finds."),
			groups.length > 0 && note(link(search(`state:dead${queue ? ` queue:${queue}` : ""}`), "All of them, one by one")),
		];
	},
};

/** What a group is, how many it has, and since when. */
export const cellsOf = (one, queue) => [h("a", { href: search(wordsOf(one, queue)), "data-row": true }, one.type),
	[clip(bad(one.error || "?"), one.newest_message && `: ${one.newest_message}`), one.frame && h("span.mono.faint.small", one.frame)],
	count(one.number), when(one.newest_at_ms)];

/** Exactly this group. */
const whichOf = ({ type, error, frame }) => ({ type, error: `=${error}`, frame: frame || "-" });
const wordsOf = (one, queue) => ["state:dead", ...Object.entries(given({ ...whichOf(one), queue })).map(([name, value]) => `${name}:${/[\s"]/.test(value) ? `"${value}"` : value}`)].join(" ");

/** Replay and delete, of those that these conditions mean. */
export const deadButtons = (which, name, all = "") => [
	may("operate") && button(`Replay${all}`, () => replay(which, name)),
	may("admin") && button(`Delete${all}`, () => purge(which, name), "danger"),
];

/** How many would be meant. */
async function counted(path, which) {
	const dry = await attempt(() => post(path, { ...which, dry_run: true }));
	return dry && { ...dry, text: `${plural(dry.number, "dead letter")}${dry.complete ? "" : " and more"}` };
}

export async function replay(which, name, before = "") {
	const dry = await counted("dead/replay", which);
	if (!dry?.number) return;
	ask({
		title: `Replay ${dry.text}?`, text: `${before}${name}: each gets fresh attempts.`, submit: "Replay",
		fields: [
			choice("number", "How many", dry.number > 1 && !which.ids ? [["1", "the newest, and see how it ends"], ["10", "the 10 newest"]] : [], ["all", `all ${dry.text}`]),
			{ name: "rate", label: "How quickly", placeholder: "10/s", hint: "Empty: at once. With a rate they are scheduled one after the other, and can be cancelled." },
		],
		act: async ({ number, rate }, say) => {
			if (number === "all") return inTurn("dead/replay", given({ ...which, rate }), say);
			const { all: _, ...rest } = which;
			const ids = (await get("dead", { ...rest, limit: number })).dead.map(({ id }) => id);
			const done = await post("dead/replay", given({ ids, rate }));
			return number === "1" ? { ...done, tried: await ended(ids[0], say) } : done;
		},
		said: ({ number, tried }) => tried ? `It ${tried.status === "dead" ? "died again" : `is ${tried.status}`}.` : `${plural(number, "task")} will run again.`,
		then: ({ tried }) => {
			if (!tried) return load();
			if (tried.status !== "completed" && tried.status !== "dead") return go("task", tried.id);
			load();
			return replay(which, name, tried.status === "dead" ? `The one tried has died again: ${tried.error?.type}. ` : "The one tried has completed. ");
		},
	});
}

/** How the one that is tried ends, or how far it is. */
function ended(id, say) {
	say("It runs again. Waiting for its end …");
	return get(`results/${part(id)}`, { wait: TRIED_S });
}

/** One request takes 10,000 at most. */
async function inTurn(path, which, say) {
	const most = inAll("dead"); // those that die again are not meant
	for (let number = 0; ;) {
		const done = await post(path, which);
		number += done.number;
		if (done.complete || !done.number || which.rate || number >= most) return { number };
		say(`${count(number)} so far …`);
	}
}

export async function purge(which, name) {
	const dry = await counted("dead/purge", which);
	if (!dry?.number) return;
	ask({
		title: `Delete ${dry.text} for good?`, text: `${name}: their arguments and errors are gone then.`, submit: "Delete", kind: "danger", typed: String(dry.number),
		act: (_, say) => inTurn("dead/purge", which, say),
		said: ({ number }) => `${plural(number, "dead letter")} deleted.`,
	});
}
