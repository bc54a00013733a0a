// What must not be on a page: elements and attributes that are not ours; a page or dialog that is wider than the window, or a
// table that has all of a large one; text that is turned around.
() => {
	const wrong = [], ours = new Set(`A ARTICLE B BODY BUTTON CAPTION CIRCLE CODE DATALIST DD DETAILS DIALOG DIV DL DT FIGCAPTION FIGURE
		FORM H1 H2 HEADER FOOTER IMG INPUT KBD LABEL LI LINE MAIN NAV NOSCRIPT OL OPTION P PATH PRE PROGRESS RECT SECTION SELECT SPAN
		SUMMARY SVG TABLE TBODY TD TEXTAREA TH THEAD TIME TR UL`.split(/\s+/));
	if (window.hacked) wrong.push("a script was run");
	for (const one of document.body.querySelectorAll("*")) {
		if (!ours.has(one.nodeName.toUpperCase())) wrong.push(`there is a ${one.nodeName}`);
		if (one.nodeName === "IMG" && one.getAttribute("src") !== "dashboard/icon.svg") wrong.push(`there is an image ${one.src}`);
		for (const { name } of one.attributes) if (/^(on|style$|srcdoc$)/.test(name)) wrong.push(`${one.nodeName} has ${name}`);
	}
	for (const one of [document.documentElement, ...document.querySelectorAll(innerWidth < 1000 ? "dialog" : "dialog, .scroll:not(.columns *)")])
		if (one.scrollWidth > one.clientWidth) wrong.push(`${one.nodeName} ${one.ariaLabel} is ${one.scrollWidth} wide, in ${one.clientWidth}`);
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const range = document.createRange();
	for (let node; (node = texts.nextNode());) {
		let last = null;
		for (let at = 0; at < Math.min(node.data.length, 150); at += 1) {
			range.setStart(node, at);
			range.setEnd(node, at + 1);
			const now = range.getBoundingClientRect();
			if (last?.top === now.top && last.left > now.left) {
				wrong.push(`from right to left: ${node.data.slice(Math.max(0, at - 40), at + 20)}`);
				break;
			}
			last = now.width ? now : last;
		}
	}
	return wrong;
}
