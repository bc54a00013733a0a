// Elements, made from data. Whatever comes from a task becomes a text node or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = new Set(["svg", "path", "line", "circle", "rect", "g", "text", "title"]);

/** h("a", {href, class, onclick, "aria-label"}, ...children): children are nodes, text, numbers, lists; null is left out. */
export function h(name, attributes, ...children) {
	const element = SHAPES.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
	for (const [key, value] of Object.entries(attributes ?? {})) {
		if (value === null || value === undefined || value === false) continue;
		if (key.startsWith("on")) element[key] = value;
		else if (key === "value") { element.value = value; element.defaultValue = value; }
		else element.setAttribute(key, value === true ? "" : String(value));
	}
	add(element, children);
	return element;
}

export const row = (...children) => h("div", { class: "buttons" }, children);
export const note = (...children) => h("p", { class: "faint" }, children);
export const para = (...children) => h("p", {}, children);
export const faint = (...children) => h("span", { class: "faint" }, children);
export const bold = (...children) => h("b", {}, children);
export const bad = (...children) => h("b", { class: "bad" }, children);
export const mono = (...children) => h("code", {}, children);
export const button = (label, onclick, kind = null) => h("button", { type: "button", class: kind, onclick }, label);

function add(element, children) {
	for (const child of children) {
		if (child === null || child === undefined || child === false) continue;
		if (Array.isArray(child)) add(element, child);
		else element.append(child instanceof Node ? child : document.createTextNode(String(child)));
	}
}

const HANDLERS = ["onclick", "onchange", "oninput", "onsubmit", "onkeydown", "onpointermove", "onpointerleave"];

/** Makes `old` like `fresh` with the fewest changes, so that focus, selection and scroll stay where they are. */
export function morph(old, fresh) {
	if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) {
		old.replaceWith(fresh);
		return fresh;
	}
	if (old.nodeType === Node.TEXT_NODE) {
		if (old.data !== fresh.data) old.data = fresh.data;
		return old;
	}
	for (const { name } of [...old.attributes]) {
		const isUsers = name === "open" && old.nodeName === "DETAILS";
		if (!fresh.hasAttribute(name) && !isUsers) old.removeAttribute(name);
	}
	for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
	for (const name of HANDLERS) if (old[name] !== fresh[name]) old[name] = fresh[name];
	if (!old.hasAttribute("data-own")) fill(old, [...fresh.childNodes]);
	return old;
}

/** The same for all children of an element. Those with a data-key are found again wherever they have moved. */
export function fill(element, fresh) {
	const keyed = new Map();
	for (const child of element.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
	let at = element.firstChild;
	for (const node of fresh) {
		const same = keyOf(node) ? keyed.get(keyOf(node)) : at && !keyOf(at) ? at : null;
		if (!same) {
			element.insertBefore(node, at);
			continue;
		}
		if (same !== at) element.insertBefore(same, at);
		const next = same.nextSibling;
		morph(same, node);
		at = next;
	}
	while (at) {
		const next = at.nextSibling;
		at.remove();
		at = next;
	}
}

function keyOf(node) {
	return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null;
}

let number = 0;

/** An id for a label and its field. */
export function freshId() {
	number += 1;
	return `f${number}`;
}
