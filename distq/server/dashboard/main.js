// The frame around the pages: which page the address means, when it is read again, who is signed in, and the keys.

import { get, remove, signIn, whenSignedOut } from "./api.js";
import { attempt, form, toast } from "./dialog.js";
import { bold, button, fill, h, note } from "./dom.js";
import { count, short } from "./format.js";
import { listenToKeys, showKeys } from "./keys.js";
import { live, start, stop } from "./live.js";
import { address, head } from "./parts.js";
import control from "./control.js";
import dead from "./dead.js";
import overview from "./overview.js";
import queues from "./queues.js";
import schedules from "./schedules.js";
import task from "./task.js";
import tasks from "./tasks.js";
import workers from "./workers.js";

const LEVELS = ["none", "read", "operate", "admin"];
const PAGES = { overview, tasks, task, dead, queues, schedules, workers, enqueue: control };
const MENU = [
	["overview", "Overview", "o"], ["tasks", "Tasks", "t"], ["dead", "Dead letters", "d"], ["queues", "Queues & limits", "q"],
	["schedules", "Schedules", "s"], ["workers", "Workers", "w"], ["enqueue", "Enqueue", "e"],
];
const STATES = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", away: "Broker away", paused: "Paused" };

const shell = document.getElementById("shell");
const main = () => document.getElementById("main");
let session = null;
let place = { name: "overview", id: "", params: {} };
let page = overview;
let data = null;
let problem = null;
let loadedAt = 0;
let turn = 0;
let isLoading = false;

const context = {
	get params() { return place.params; },
	get id() { return place.id; },
	may: (level) => LEVELS.indexOf(session.level) >= LEVELS.indexOf(level),
	reload: load,
	draw,
	go,
	/** Does something, says it, and reads the page again. */
	act: async (action, said) => {
		await attempt(action, said);
		await load();
	},
	/** The same after a form was filled in (see `form`); `then(found)`: in place of reading the page again. */
	ask: async ({ said, then = load, ...question }) => {
		const found = await form(question);
		if (found === undefined) return;
		toast(typeof said === "function" ? said(found) : said);
		await then(found);
	},
};

function go(name, id, params, isReplaced = false) {
	if (!isReplaced) {
		location.hash = address(name, id, params);
		return;
	}
	history.replaceState(null, "", address(name, id, params));
	arrive();
}

function where() {
	const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
	const [name, ...rest] = path.split("/");
	let id = rest.join("/");
	try {
		id = decodeURIComponent(id);
	} catch {
		// it is as it is
	}
	return { name: Object.hasOwn(PAGES, name) ? name : "overview", id, params: Object.fromEntries(new URLSearchParams(query)) };
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
	if (isOther) [page, data] = [PAGES[place.name], null];
	problem = null;
	await load();
	if (isOther) {
		scrollTo(0, 0);
		main()?.focus({ preventScroll: true });
	}
}

/** Reads what the page shows. An answer that comes after the next question is not looked at. */
async function load() {
	turn += 1;
	const mine = turn;
	isLoading = true;
	if (data === null) draw();
	try {
		const found = await page.load(context);
		if (mine !== turn) return;
		[data, problem, loadedAt] = [found, null, Date.now()];
	} catch (error) {
		if (mine !== turn || !session) return;
		problem = error;
	}
	isLoading = false;
	draw();
}

function draw() {
	if (!session) return;
	document.title = `${titleOf()} · ${session.app}${session.environment && ` (${session.environment})`}`;
	fill(shell, [sidebar(), h("main", { id: "main", tabindex: -1, "data-key": `page-${place.name}` }, body())]);
}

const titleOf = () => (typeof page.title === "function" ? page.title(context) : page.title);
const banner = (...said) => h("p", { class: "banner bad", role: "alert" }, said);

function body() {
	const above = [
		live.state === "away" && banner("The broker does not answer. What you see is as it was."),
		problem && banner(problem.message, " ", button("Try again", load)),
	];
	try {
		return [...above, data === null ? [head(titleOf()), isLoading && note("Loading …")] : page.view(data, context)];
	} catch (error) {
		console.error(error);
		return banner("This cannot be shown: ", error.message);
	}
}

function sidebar() {
	const sum = (name) => (live.frame?.queues ?? []).reduce((found, queue) => found + queue[name], 0);
	const badges = { dead: [sum("dead"), "bad"], tasks: [sum("live"), ""] };
	return h("header", { class: "side", "data-key": "side" },
		h("a", { class: "brand", href: "#/overview", title: session.app }, h("img", { src: "dashboard/icon.svg", alt: "", width: 26, height: 26 }),
			h("span", {}, bold(session.app), session.environment && h("span", { class: `place hue${hueOf(session.environment)}` }, session.environment))),
		h("nav", { "aria-label": "Pages" }, MENU.map(([name, label]) => {
			const [number, kind] = badges[name] ?? [0];
			const isHere = place.name === name || (name === "tasks" && place.name === "task");
			return h("a", { href: `#/${name}`, "aria-current": isHere && "page", class: isHere && "here" }, label,
				number > 0 && h("span", { class: `badge ${kind}`, title: count(number) }, short(number)));
		})),
		h("div", { class: "foot" },
			h("p", { class: `link ${live.state}`, role: "status" }, h("span", { class: "dot" }), STATES[live.state]),
			h("p", { class: "who" }, session.is_open ? "No key is needed here" : `${session.name} · ${session.level}`),
			h("p", { class: "tools" },
				button(THEMES[theme()], turnTheme, "quiet", "Light, dark, or as the system"), button("Keys", () => showKeys(MENU), "quiet", "Keys (?)"),
				!session.is_open && button("Sign out", signOut, "quiet"))));
}

/** Production is red, staging amber. */
const hueOf = (name) => [/^prod/i, /^(stag|test|qa)/i].findIndex((known) => known.test(name));

// -- light and dark ---------------------------------------------------------------------------------------------------

const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };
const theme = () => document.documentElement.dataset.theme ?? "auto";

function setTheme(name) {
	if (name === "auto") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = name;
}

function turnTheme() {
	const names = Object.keys(THEMES);
	const next = names[(names.indexOf(theme()) + 1) % names.length];
	setTheme(next);
	localStorage.setItem("distq-theme", next);
	draw();
}

// -- signing in -------------------------------------------------------------------------------------------------------

function signInPage(said = "") {
	stop();
	session = null;
	document.title = "Sign in · distq";
	const key = h("input", { id: "key", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
	const wrong = h("p", { class: "problem", role: "alert" }, said);
	fill(shell, [h("main", { id: "main", class: "sign-in", "data-key": "sign-in", tabindex: -1 },
		h("form", {
			onsubmit: async (event) => {
				event.preventDefault();
				try {
					if (!/^[\x21-\x7e]+$/.test(key.value)) throw new Error("This cannot be a key.");
					begin(await signIn(key.value));
				} catch (error) {
					wrong.textContent = error.status === 401 ? "No such key." : error.message;
					key.select();
				}
			},
		},
		h("img", { src: "dashboard/icon.svg", alt: "", width: 44, height: 44 }), h("h1", {}, "Sign in"),
		h("label", { for: "key" }, "API key"), key, wrong, h("button", { class: "primary", type: "submit" }, "Sign in"),
		h("p", { class: "hint" }, "One of $DISTQ_API_KEYS of the server. It is kept by your browser alone, for a week, and pages cannot read it.")))]);
	key.focus();
}

async function signOut() {
	await attempt(() => remove("session"));
	signInPage();
}

function begin(found) {
	session = found;
	fill(shell, []);
	[place, data] = [{ name: "", id: "", params: {} }, null];
	arrive();
	start();
}

// -- what happens by itself -------------------------------------------------------------------------------------------

live.onchange = (isFrame) => {
	if (!session) return;
	const every_s = page.every ?? 0;
	const isGone = problem?.status >= 400 && problem.status < 500; // it stays so
	if (isFrame && every_s && !isLoading && !isGone && Date.now() - loadedAt >= every_s * 1000 - 200) load();
	else draw();
};

whenSignedOut(() => {
	if (session) signInPage("The session is over.");
});
addEventListener("hashchange", arrive);
listenToKeys({ menu: MENU, go, reload: load });
setTheme(localStorage.getItem("distq-theme") ?? "auto");

try {
	const found = await get("session");
	if (found.level === "none") signInPage();
	else begin(found);
} catch (error) {
	signInPage(error.message);
}
