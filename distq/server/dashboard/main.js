// The menu, who is signed in, and light or dark.

import { get, remove, signIn, whenSignedOut } from "./api.js";
import { attempt } from "./dialog.js";
import { bold, button, fill, h } from "./dom.js";
import { count, short } from "./format.js";
import { begin, draw, end, may, place, session } from "./frame.js";
import { listenToKeys, showKeys } from "./keys.js";
import { inAll, live, start, stop } from "./live.js";
import actions from "./actions.js";
import control from "./control.js";
import dead from "./dead.js";
import overview from "./overview.js";
import queues from "./queues.js";
import schedules from "./schedules.js";
import task from "./task.js";
import tasks from "./tasks.js";
import workers from "./workers.js";

const PAGES = { overview, tasks, task, dead, queues, schedules, workers, enqueue: control, actions };
const MENU = [["overview", "Overview"], ["tasks", "Tasks"], ["dead", "Dead letters"], ["queues", "Queues & limits"], ["schedules", "Schedules"],
	["workers", "Workers"], ["enqueue", "Enqueue"], ["actions", "Actions"]];
const STATES = {
	connecting: ["Connecting", "warn"], live: ["Live", "good"], reconnecting: ["Reconnecting", "warn"], away: ["Broker away", "bad"], paused: ["Paused", "off"],
};

function sidebar() {
	const badges = { dead: [inAll("dead"), "bad"], tasks: [inAll("live"), ""] };
	const [state, kind] = STATES[live.state];
	return h("header.side", { "data-key": "side" },
		h("a.brand", { href: "#/overview", title: session.app }, icon(26),
			h("span", bold(session.app), session.environment && h(`span.place.${kindOf(session.environment)}`, session.environment))),
		h("nav", { "aria-label": "Pages" }, MENU.filter(([name]) => name !== "actions" || may("admin")).map(([name, label]) => {
			const [number, badge] = badges[name] ?? [0];
			const isHere = place.name === name || (name === "tasks" && place.name === "task");
			return h("a", { href: `#/${name}`, "aria-current": isHere && "page" }, label,
				number > 0 && h(`span.badge.${badge}`, { title: count(number) }, short(number)));
		})),
		h("div.foot",
			h(`p.link.${kind}`, { role: "status" }, h("span.dot"), h("span", state)),
			h("p.who", session.is_open ? "No key is needed here" : `${session.name} · ${session.level}`),
			h("p.tools",
				button(THEMES[style.colorScheme] ?? "Auto", turnTheme, "quiet", "Light, dark, or as the system"), button("Keys", () => showKeys(MENU), "quiet", "Keys (?)"),
				!session.is_open && button("Sign out", signOut, "quiet"))));
}

const icon = (size) => h("img", { src: "dashboard/icon.svg", alt: "", width: size, height: size });

/** Production is red, staging amber. */
const kindOf = (name) => (/^prod/i.test(name) ? "bad" : /^(stag|test|qa)/i.test(name) ? "warn" : "run");

const THEMES = { "light dark": "Auto", light: "Light", dark: "Dark" };
const { style } = document.documentElement;

function turnTheme() {
	const names = Object.keys(THEMES);
	style.colorScheme = names[(names.indexOf(style.colorScheme) + 1) % names.length];
	localStorage.setItem("distq-theme", style.colorScheme);
	draw();
}

function enter(found) {
	begin(found, PAGES, sidebar);
	start();
}

function signInPage(said = "") {
	stop();
	end();
	document.title = "Sign in · distq";
	const key = h("input", { id: "key", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
	const wrong = h("p.problem", { role: "alert" }, said);
	fill(document.getElementById("shell"), [h("main", { id: "main", class: "sign-in", "data-key": "sign-in", tabindex: -1 },
		h("form", {
			onsubmit: async (event) => {
				event.preventDefault();
				try {
					if (!/^[\x21-\x7e]+$/.test(key.value)) throw new Error("This cannot be a key.");
					enter(await signIn(key.value));
				} catch (error) {
					wrong.textContent = error.status === 401 ? "No such key." : error.message;
					key.select();
				}
			},
		},
		icon(44), h("h1", "Sign in"), h("label", { for: "key" }, "API key"), key, wrong, h("button.primary", { type: "submit" }, "Sign in"),
		h("p.hint", "One of the server's $DISTQ_API_KEYS. Your browser keeps it for a week, and pages cannot read it.")))]);
	key.focus();
}

async function signOut() {
	await attempt(() => remove("session"));
	signInPage();
}

whenSignedOut(() => session && signInPage("The session is over."));
listenToKeys(MENU);
style.colorScheme = localStorage.getItem("distq-theme") ?? "light dark";

try {
	const found = await get("session");
	if (found.level === "none") signInPage();
	else enter(found);
} catch (error) {
	signInPage(error.message);
}
