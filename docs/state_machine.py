"""Writes docs/state-machine.md from the tables of `distq.states`, so that it cannot differ from the code.

python docs/state_machine.py            write the file
python docs/state_machine.py --check    exit 1 if the file is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

from distq.states import ARROWS, ENDINGS, EVENTS

TARGET = Path(__file__).with_name("state-machine.md")

TEXT = """\
# The states of a task

<!-- Written by docs/state_machine.py from distq.states. Change the tables, then run the script. -->

Every arrow is one Lua script, so it happens as a whole or not at all. `active` is a task that a worker holds;
`handle.status()` calls it `running`. A task with none of these states is `unknown`: it never was, or the time of its
result is over.

{picture}

A task stays in {endings}. Only a dead one leaves that state
again. A new call with the `id=` of an ended task begins a new task, see
[protocol](protocol.md#when-id-meets-a-task); it is drawn from the start, except for a dead one, which it replaces.
No script makes a task `lost`: alive, but in no list.

## The arrows

{table}

## The ledger

The scripts count, per type, what begins and what ends. So at every instant, in each queue and for each type,

```
{equation}
```

| event | side | scripts | when |
|---|---|---|---|
{events}

A replayed task lives twice: `dead` − `replayed` is how many died for good, and with that the equation reads: what
was enqueued has ended in exactly one way, or is there. `purge` and `cancel` end a task in the same way; its result
says which of them it was. What becomes of a dead letter later (deleted, replaced by a call with its id, too old) is
no event: it has ended already.

The ledger has at most 5,000 fields. When it is full, new types are counted together, as type `(other)`.

A broker that lost everything has an empty ledger and no tasks: in balance. So is one that went back to a snapshot,
since every script is there as a whole or not at all. Only who deletes single keys breaks the equation: deleted
messages are missing tasks, and without the ledger's key all that is alive is too much. `distq audit`
and the metric `distributedq_ledger_difference` say so.
"""


def picture() -> str:
    """The Mermaid diagram: one line per pair of states, with the verbs that make the move."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for arrow in ARROWS:
        verbs.setdefault((arrow.source, arrow.target), []).append(arrow.verb)
    lines = [f"    {_dot(source)} --> {_dot(target)}: {', '.join(names)}" for (source, target), names in verbs.items()]
    lines += [f"    {ending} --> [*]" for ending in ENDINGS if (ending, "none") not in verbs]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def table() -> str:
    """The arrows as they are declared, each with a link to its script."""
    rows = [f"| {a.source} | {a.target} | [`{a.verb}`](../distq/broker/lua/{a.verb}.lua) | {a.when} |" for a in ARROWS]
    return "\n".join(["| from | to | script | when |", "|---|---|---|---|", *rows])


def equation() -> str:
    """What came is what ended and what is there."""
    came, ended = ([event.name for event in EVENTS if event.side == side] for side in (1, -1))
    return f"{' + '.join(came)} = {' + '.join(ended)} + waiting + scheduled + running"


def events() -> str:
    """What is counted, as it is declared."""
    side = {1: "came", -1: "ended", 0: "–"}
    rows = []
    for event in EVENTS:
        scripts = ", ".join(f"`{verb}`" for verb in event.verbs)
        rows.append(f"| `{event.name}` | {side[event.side]} | {scripts} | {event.when} |")
    return "\n".join(rows)


def text() -> str:
    """The whole file."""
    endings = [f"`{ending}`" for ending in ENDINGS]
    return TEXT.format(
        picture=picture(),
        table=table(),
        equation=equation(),
        events=events(),
        endings=", ".join(endings[:-1]) + f" and {endings[-1]}",
    )


def _dot(state: str) -> str:
    return "[*]" if state == "none" else state


def main(arguments: list[str]) -> int:
    """Writes or checks; the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    if not arguments:
        TARGET.write_text(text(), "utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text("utf-8") == text():
        return 0
    print(f"{TARGET.name} is not what {Path(__file__).name} writes: run it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
