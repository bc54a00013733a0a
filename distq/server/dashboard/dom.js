// Elements, made from data. Whatever comes from a task becomes a text node or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = ["svg", "path", "rect"];
const isNothing = (value) => (value ?? false) === false;

/** h("a.class", {href, onclick}, ...children): nodes, text, numbers, lists; null and false are left out, as are no attributes. */
export function h(name, ...children) {
	const [tag, ...classes] = name.split(".");
	const element = SHAPES.includes(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
	if (classes.length) element.setAttribute("class", classes.join(" "));
	const attributes = children[0]?.constructor === Object ? children.shift() : {};
	for (const [key, value] of Object.entries(attributes)) {
		if (isNothing(value)) continue;
		if (key === "value") element.value = element.defaultValue = value;
		else if (key.startsWith("on")) element[key] = value;
		else element.setAttribute(key, value === true ? "" : String(value));
	}
	add(element, children);
	return element;
}

export const [row, note, para, faint, clip, bold, bad, mono] = ["div.buttons", "p.faint", "p", "span.faint", "span.clip", "b", "b.bad", "code"]
	.map((name) => (...children) => h(name, children));
export const link = (href, ...children) => h("a", { href }, children);
export const button = (label, onclick, kind, title) => h("button", { type: "button", class: kind, onclick, title }, label);

function add(element, children) {
	for (const child of children) {
		if (Array.isArray(child)) add(element, child);
		else if (!isNothing(child)) element.append(child instanceof Node ? child : document.createTextNode(seen(String(child))));
	}
}

/** What turns text around, or is not seen, is written out. */
const seen = (text) => text.replace(/[\0-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, (one) => `\\u{${one.charCodeAt().toString(16)}}`);

const HANDLERS = ["onclick", "onchange", "oninput", "onsubmit"];

/** Makes `old` like `fresh` with the fewest changes, so that focus, selection and scroll stay where they are. */
function morph(old, fresh) {
	if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) {
		old.replaceWith(fresh);
		return;
	}
	if (old.nodeType === Node.TEXT_NODE) {
		if (old.data !== fresh.data) old.data = fresh.data;
		return;
	}
	if (old.hasAttribute("data-own")) return; // with its handlers: they know what is in it
	for (const { name } of [...old.attributes]) {
		const isUsers = name === "open" && old.nodeName === "DETAILS";
		if (!fresh.hasAttribute(name) && !isUsers) old.removeAttribute(name);
	}
	for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
	for (const name of HANDLERS) if (old[name] !== fresh[name]) old[name] = fresh[name];
	if (old.checked !== fresh.checked) old.checked = fresh.checked;
	fill(old, [...fresh.childNodes]);
}

/** The same for all children. Those with a data-key stay, whatever comes or goes around them. */
export function fill(element, fresh) {
	const keyed = new Map();
	for (const child of element.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
	const wanted = new Set(fresh.map(keyOf));
	let at = element.firstChild;
	const drop = () => {
		const next = at.nextSibling;
		at.remove();
		at = next;
	};
	for (const node of fresh) {
		const same = keyOf(node) ? keyed.get(keyOf(node)) : at && !keyOf(at) ? at : null;
		if (!same) {
			element.insertBefore(node, at);
			continue;
		}
		keyed.delete(keyOf(node));
		while (at !== same && !(keyOf(at) && wanted.has(keyOf(at)))) drop();
		if (same !== at) element.insertBefore(same, at);
		else at = at.nextSibling;
		morph(same, node);
	}
	while (at) drop();
}

const keyOf = (node) => node.getAttribute?.("data-key") ?? null;
