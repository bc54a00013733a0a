// The API, asked as any program asks it; the cookie goes with each request by itself.

export class ApiError extends Error {
	constructor(status, detail, errors) {
		super(detail);
		this.status = status;
		this.errors = errors ?? [];
	}
}

let onSignedOut = () => {};

/** What to do when a request needs a key. */
export function whenSignedOut(action) {
	onSignedOut = action;
}

async function ask(method, path, body, headers = {}) {
	let response;
	try {
		response = await fetch(`api/v1/${path}`, {
			method,
			headers: body === undefined ? headers : { ...headers, "Content-Type": "application/json" },
			body: body === undefined ? undefined : JSON.stringify(body),
			credentials: "same-origin",
			cache: "no-store",
		});
	} catch {
		throw new ApiError(0, "The server does not answer.");
	}
	const text = await response.text();
	let found = null;
	try {
		found = text ? JSON.parse(text) : null;
	} catch {
		found = { detail: text.slice(0, 200) };
	}
	if (response.ok) return found;
	if (response.status === 401 && !headers["X-API-Key"]) onSignedOut();
	throw new ApiError(response.status, found?.detail || `The server answers ${response.status}.`, found?.errors);
}

export const get = (path, query) => ask("GET", withQuery(path, query));
export const post = (path, body = {}) => ask("POST", path, body);
export const patch = (path, body) => ask("PATCH", path, body);
export const remove = (path, query) => ask("DELETE", withQuery(path, query));
export const signIn = (key) => ask("POST", "session", undefined, { "X-API-Key": key });

function withQuery(path, query = {}) {
	const all = Object.entries(query).flatMap(([name, value]) => (Array.isArray(value) ? value.map((one) => [name, one]) : [[name, value]]));
	const given = all.filter(([, value]) => value !== undefined && value !== null && value !== "");
	return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** A part of a path. */
export const part = (text) => encodeURIComponent(text);
