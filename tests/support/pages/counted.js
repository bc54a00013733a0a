// What holds of the elements of each page, for screen readers.
() => {
	const all = (selector) => [...document.querySelectorAll(selector)];
	const ids = all("[id]").map(({ id }) => id);
	const isHead = (head) => head.scope === "col" && (head.textContent.trim() || head.querySelector("input"));
	const hasHeads = (table) => table.caption && table.querySelector("thead th") && [...table.querySelectorAll("thead th")].every(isHead);
	return {
		titles: all("h1").length,
		mains: all("main").length,
		language: document.documentElement.lang,
		twice: ids.filter((id, at) => ids.indexOf(id) !== at),
		headless: all("main table").filter((table) => !hasHeads(table)).length,
		ahead: all("[tabindex]").filter(({ tabIndex }) => tabIndex > 0).length,
	};
}
