// The API, asked as any program asks it; the cookie goes with each request by itself.

const refusal = (status, detail) => Object.assign(new Error(detail), { status });

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
			headers: body ? { "Content-Type": "application/json" } : headers,
			body: body && JSON.stringify(body),
			cache: "no-store",
		});
	} catch {
		throw refusal(0, "The server does not answer.");
	}
	const found = await response.text().then(parse).catch(() => null);
	if (response.ok) return found;
	if (response.status === 401 && !headers["X-API-Key"]) onSignedOut();
	throw refusal(response.status, found?.detail || `The server answers ${response.status}.`);
}

/** Whole numbers that JavaScript cannot hold stay as they are written. */
export const parse = (text) => JSON.parse(text, (_, value, { source } = {}) =>
	/^-?\d+$/.test(source) && !Number.isSafeInteger(value) ? JSON.rawJSON(source) : value);

/** `age`: so many seconds old it may be, if somebody else has asked then. */
export const get = (path, query, age = 0) => ask("GET", withQuery(path, query), undefined, { "Cache-Control": `max-age=${age}` });
export const post = (path, body = {}) => ask("POST", path, body);
export const patch = (path, body) => ask("PATCH", path, body);
export const remove = (path, query) => ask("DELETE", withQuery(path, query));
export const signIn = (key) => ask("POST", "session", undefined, { "X-API-Key": key });

/** Without what is empty. */
export const given = (what) => Object.fromEntries(Object.entries(what).filter(([, value]) => (value ?? "") !== ""));

function withQuery(path, query = {}) {
	const all = Object.entries(given(query)).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
	return all.length ? `${path}?${new URLSearchParams(all)}` : path;
}

/** A part of a path. */
export const part = (text) => encodeURIComponent(text);
