// What surrounds a page: which one the address means, when it is read again, what all do alike.

import { get } from "./api.js";
import { attempt, form, toast } from "./dialog.js";
import { button, fill, h, note } from "./dom.js";
import { plural } from "./format.js";
import { live } from "./live.js";
import { address, head } from "./parts.js";

const LEVELS = ["none", "read", "operate", "admin"];

/** The page that is shown: its name, what of, and the query of its address. */
export let place = { name: "", id: "", params: {} };
export let session = null;
let pages = {};
let around = () => null; // what stands beside a page
let page = null;
let data = null;
let problem = null;
let loadedAt = 0;
let totals = null; // the counters then
let turn = 0;
let isLoading = false;

export const may = (level) => LEVELS.indexOf(session.level) >= LEVELS.indexOf(level);

/** Does something, says it, and reads the page again. */
export async function act(action, said) {
	await attempt(action, said);
	await load();
}

/** The same after a form was filled in (see `form`); `then(found)`: in place of reading the page again. */
export async function ask({ said, then = load, ...question }) {
	const found = await form(question);
	if (found === undefined) return;
	toast(typeof said === "function" ? said(found) : said);
	await then(found);
}

/** A button for what cannot be taken back: it asks first. */
export const risk = (label, question, title) => button(label, () => ask({ submit: label, kind: "danger", ...question }), "danger", title);

export function go(name, id, params, isReplaced = false) {
	if (!isReplaced) {
		location.hash = address(name, id, params);
		return;
	}
	history.replaceState(null, "", address(name, id, params));
	arrive();
}

/** From now on, for somebody who has signed in. */
export function begin(found, ...rest) {
	session = found;
	[pages, around] = rest;
	[place, data] = [{ name: "", id: "", params: {} }, null];
	fill(shell(), []);
	arrive();
}

/** Shows nothing more of it. */
export function end() {
	session = null;
}

const shell = () => document.getElementById("shell");
const main = () => document.getElementById("main");

function where() {
	const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
	const [name, ...rest] = path.split("/");
	let id = rest.join("/");
	try {
		id = decodeURIComponent(id);
	} catch {} // it is as it is
	return { name: Object.hasOwn(pages, name) ? name : "overview", id, params: Object.fromEntries(new URLSearchParams(query)) };
}

async function arrive() {
	if (!session) return;
	if (location.hash === "#main") { // the link that skips the menu
		history.replaceState(null, "", address(place.name, place.id, place.params));
		main().focus();
		return;
	}
	const last = place;
	place = where();
	const isOther = last.name !== place.name || last.id !== place.id;
	if (isOther) [page, data] = [pages[place.name], null];
	problem = null;
	await load();
	if (isOther) {
		scrollTo(0, 0);
		document.querySelector("[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "center" }); // on a phone
		main()?.focus({ preventScroll: true });
	}
}

/** Reads what the page shows, anew. */
export const load = () => read(0);

/** An answer that comes after the next question is not looked at. */
async function read(age) {
	turn += 1;
	const mine = turn;
	isLoading = true;
	if (data === null) draw();
	try {
		const found = await page.load(place, (path, query) => get(path, query, age));
		if (mine !== turn) return;
		[data, problem, loadedAt, totals] = [found, null, Date.now(), live.frame?.totals];
	} catch (error) {
		if (mine !== turn || !session) return;
		problem = error;
	}
	isLoading = false;
	draw();
}

export function draw() {
	if (!session) return;
	document.title = `${titleOf()} · ${session.app}${session.environment && ` (${session.environment})`}`;
	fill(shell(), [around(), h("main", { id: "main", tabindex: -1, "data-key": `page-${place.name}` }, body())]);
}

const titleOf = () => (typeof page.title === "function" ? page.title(place) : page.title);
const banner = (...said) => h("p.banner.bad", { role: "alert" }, said);

function body() {
	const above = [
		live.state === "away" && banner("The broker does not answer. What you see is as it was."),
		problem && banner(problem.message, " ", button("Try again", load)),
	];
	try {
		return [...above, data === null ? [head(titleOf()), isLoading && note("Loading …")] : page.view(data, place)];
	} catch (error) {
		console.error(error);
		return banner("This cannot be shown: ", error.message);
	}
}

/** What has happened since the page was read is said; nothing moves under the pointer. */
export function news(event, said) {
	totals ??= live.frame?.totals;
	const number = totals && live.frame.totals[event] - totals[event];
	return number > 0 && h("p.banner.run", `${plural(number, "task")} ${said} since this was read. `, button("Read it again", load));
}

live.onchange = (isFrame) => {
	if (!session) return;
	const every_s = page.every ?? 0;
	const isGone = problem?.status >= 400 && problem.status < 500; // it stays so
	if (isFrame && every_s && !isLoading && !isGone && Date.now() - loadedAt >= every_s * 1000 - 200) read(every_s - 1); // as many tabs do
	else draw();
};
addEventListener("hashchange", arrive);
