"""Bar charts as SVG, readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.numbers import Spread, short

WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 720, 110, 110, 58, 26, 16
LETTER = 8
"""Wider than most of them are."""

STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.note, .quiet { fill: #59636e; }
.bar { fill: #9aa4b0; }
.ours { fill: #0f7b6c; }
.bare { fill: none; stroke: #9aa4b0; stroke-dasharray: 3 3; }
.spread { stroke: #1f2328; stroke-width: 1; }
.own { font-weight: 600; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note, .quiet { fill: #9198a1; }
  .bar { fill: #5d6772; }
  .ours { fill: #2fb5a0; }
  .bare { stroke: #7d8791; }
  .spread { stroke: #e6edf3; }
}
""".strip()


def bars(title: str, note: str, lines: Sequence[tuple[str, Spread, str]]) -> str:
    """Horizontal bars from nought, with a line from the smallest to the largest value of each.

    A line is (name, values, kind): `ours`, `bar`, or `bare` for what is no system.
    """
    most = max((value.high for _, value, _ in lines), default=0) or 1
    left = max([LEFT, *(LETTER * len(name) + 16 for name, _, _ in lines)])
    space = WIDTH - left - RIGHT
    height = TOP + STEP * len(lines) + 8
    told = "; ".join(f"{name} {short(value.median)}" for name, value, _ in lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(f"{title}: {told}")}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="22">{escape(title)}</text>',
        f'<text class="note" x="8" y="42">{escape(note)}</text>',
    ]
    for index, (name, value, kind) in enumerate(lines):
        top = TOP + STEP * index
        middle, base = top + BAR / 2, top + BAR - 3
        length, low, high = (space * part / most for part in (value.median, value.low, value.high))
        weight = ' class="own"' if kind == "ours" else ' class="quiet"' if kind == "bare" else ""
        parts += [
            f'<text{weight} x="{left - 8}" y="{base}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{left}" y="{top}" width="{max(length, 1):.1f}" height="{BAR}" rx="2"/>',
            f'<path class="spread" d="M{left + low:.1f} {middle:.1f}H{left + high:.1f}"/>',
            f'<text{weight} x="{left + max(length, high) + 8:.1f}" y="{base}">{escape(short(value.median))}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
