"""What the terminal shows of a lesson, as `rich` renders it: the table of nodes, the events, a dump, an XOR.

The rule: values in, something printable out; no node, no input, and every text as text, never as markup.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pylitefs.lecture.model import Dump, Entry, Json, Part, Term

LAST_EVENTS = 12
_SHOWN_BYTES = 16
_BAR = 30
"""Characters of the longest bar."""
_KIND_STYLES = {"fault": "bold red", "error": "bold red", "command": "bold", "sql": "cyan", "note": "italic"}

_VERDICTS = {
    "holds": ("✓", "green"),
    "broken": ("✗", "bold red"),
    "unknown": ("?", "yellow"),
    "none": ("–", "dim"),
}


def nodes_table(state: Json, *, live: bool) -> RenderableType:
    """Every node with its databases: role, position, how far behind, who locks what, what is held."""
    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False)
    for heading in ("node", "role", "database", "TXID", "checksum", "behind", "locks", "held"):
        table.add_column(heading, justify="right" if heading in {"TXID", "behind"} else "left")
    databases, newest = _databases(state)
    for node in state.get("nodes", ()):
        role = Text(str(state.get(f"node/{node}/role", "")))
        held = Text(_held(state.get(f"node/{node}/held") or [], live=live), "yellow")
        link = _link(state.get(f"node/{node}/link") or {})
        if link:
            role.append(f", {link}", "red")
        names = sorted(databases.get(node, ())) or [""]
        for number, name in enumerate(names):
            first = number == 0
            table.add_row(
                Text(node if first else "", "bold"),
                role if first else "",
                *_database_cells(state, node, name, newest.get(name, 0)),
                held if first else "",
            )
    lease, halt = state.get("lease"), state.get("halt")
    lines = invariant_lines(state.get("invariants") or ())
    if isinstance(lease, dict):
        lines.append(lease_line(lease))
    if isinstance(halt, dict):
        lines.append(Text(f"HALT lock: {halt['holder']}"))
    return Group(table, *lines) if lines else table


def invariant_lines(verdicts: Iterable[Json]) -> list[RenderableType]:
    """The five sentences in a row, each with its sign; below it why one is not so, or not known."""
    row, reasons = Text(), list[RenderableType]()
    for one in verdicts:
        sign, style = _VERDICTS.get(str(one["state"]), _VERDICTS["unknown"])
        row.append(f"{'  ' if row else ''}{sign} {one['short']}", style)
        if one["state"] in ("broken", "unknown"):
            reasons.append(Text(f"{sign} {one['why']}", style))
    return [row, *reasons] if row else []


def lease_line(lease: Json) -> RenderableType:
    """Who has the lease, of nodes that have one, as the lease service says."""
    if not lease["holder"]:
        return Text(f"lease: nobody has it · {lease['ttl_s']:g} s", "bold red")
    return Text(f"lease: {lease['holder']} · session {lease['session']}… · {lease['ttl_s']:g} s")


def _databases(state: Json) -> tuple[Mapping[str, set[str]], Mapping[str, int]]:
    """Each node's databases, and each database's newest TXID on any node."""
    names: dict[str, set[str]] = {}
    newest: dict[str, int] = {}
    for key, value in state.items():
        words = key.split("/")
        if words[0] == "db" and len(words) == 4:
            names.setdefault(words[1], set()).add(words[2])
            if words[3] == "txid" and isinstance(value, int):
                newest[words[2]] = max(newest.get(words[2], 0), value)
    return names, newest


def _database_cells(state: Json, node: str, name: str, newest: int) -> tuple[Text, ...]:
    if not name:
        return (Text(""),) * 5

    def fact(what: str) -> object:
        return state.get(f"db/{node}/{name}/{what}", "")

    txid = fact("txid")
    behind = newest - txid if isinstance(txid, int) else 0
    found = fact("locks")
    locks = found if isinstance(found, list) else []
    held: dict[str, list[str]] = {}
    for lock in locks:
        held.setdefault(str(lock["who"]), []).append(str(lock["lock"]))
    who = "; ".join(f"{owner}: {', '.join(names)}" for owner, names in held.items())
    return Text(name), Text(str(txid)), Text(str(fact("checksum"))), Text(str(behind or "")), Text(who)


def _held(held: Sequence[Json], *, live: bool) -> str:
    return "; ".join(
        " ".join(
            one
            for one in (
                str(it["name"]),
                f"by {it['who']}" if it.get("who") else "",
                f"for {_minutes(time.time() - float(it['wall_ms']) / 1000)}" if live else "",
            )
            if one
        )
        for it in held
    )


def _minutes(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02}"


def _link(link: Json) -> str:
    if link.get("state") in {"cut", "down"}:
        return f"link {link['state']}"
    return f"link {link['delay_ms']} ms late" if link.get("delay_ms") else ""


def events(entries: Sequence[Entry]) -> RenderableType:
    """The last entries, a line each: when, where, what, in a sentence."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    for _ in range(3):
        table.add_column()
    if len(entries) > LAST_EVENTS:
        table.add_row("", "", "", f"… {len(entries) - LAST_EVENTS} before")
    for entry in entries[-LAST_EVENTS:]:
        style = _KIND_STYLES.get(entry.kind, "")
        name = entry.name if entry.kind in {"event", "command"} else entry.kind
        text = Text(entry.text or entry.name, style)
        if entry.dumps:
            text.append(f"  [d: {len(entry.dumps)}]", "dim")
        table.add_row(Text(f"{entry.t_ms / 1000:.3f} s", "dim"), Text(entry.node), Text(name, style), text)
    return table


def question(asked: Json, chosen: int | None = None) -> RenderableType:
    """The question and its numbered choices; once answered, which is right, whether `chosen` is, and why."""
    lines = [Text(str(asked["text"]), "bold")]
    answer = asked.get("answer")
    for number, choice in enumerate(asked["choices"]):
        line = Text(f"  {number + 1}  {choice}")
        if answer == number:
            line = Text(f"{line.plain}  ← right", "green")
        elif answer is not None and number == chosen:
            line = Text(f"{line.plain}  ← wrong", "red")
        lines.append(line)
    if answer is not None:
        said = "" if chosen is None else "Right." if chosen == answer else "Not so."
        lines += [Text(one) for one in [f"{said} {asked.get('why') or ''}".strip()] if one]
    return Group(*lines)


def votes(told: Json) -> RenderableType:
    """How a class has voted, as bars; `told` as votes.py has it, {} before anybody follows."""
    counts = told.get("counts") or []
    most = max(counts, default=0)
    lines = [Text(f"{sum(counts)} of {told.get('followers', 0)} have voted", "bold")]
    for number, count in enumerate(counts):
        bar = "█" * round(_BAR * count / most) if most else ""
        lines.append(Text(f"  {number + 1}  {bar} {count}"))
    return Group(*lines)


def xor(terms: Sequence[Term]) -> RenderableType:
    """The checksum's XOR written out: one number below the other, the last the result."""
    width = max(len(term.label) for term in terms)
    lines = []
    for number, term in enumerate(terms):
        mark = "=" if number == len(terms) - 1 else "⊕" if number else " "
        lines.append(Text(f"  {mark} {term.value:016x}  {term.label:{width}}".rstrip()))
    return Group(*lines)


def field_bytes(shown: Dump, part: Part) -> RenderableType:
    """One field's bytes."""
    start = part.offset - shown.base
    return Text(f"  {part.offset:6}  {_hex(shown.data[max(start, 0) : max(start + part.length, 0)])}")


def dump(shown: Dump) -> RenderableType:
    """A file's or frame's bytes, field by field; `*` marks those that changed."""
    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False, title_justify="left")
    table.title = Text(shown.title)
    for heading in ("", "offset", "bytes", "field", "value", "meaning"):
        table.add_column(heading, justify="right" if heading == "offset" else "left", overflow="fold")
    changed = _Ranges(shown.changed)
    for part in shown.parts or _whole(shown):
        start = part.offset - shown.base
        table.add_row(
            Text("*" if changed.meet(part.offset, part.offset + part.length) else "", "bold yellow"),
            str(part.offset),
            Text(_hex(shown.data[max(start, 0) : max(start + part.length, 0)])),
            Text(part.name, "bold"),
            Text(part.value),
            Text(part.meaning),
        )
    return Group(table, Text(shown.note, "dim")) if shown.note else table


def _whole(shown: Dump) -> Iterable[Part]:
    for start in range(0, len(shown.data), _SHOWN_BYTES):
        yield Part(shown.base + start, min(_SHOWN_BYTES, len(shown.data) - start), "")


class _Ranges:
    """Runs of bytes, merged and in order."""

    def __init__(self, runs: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, length in sorted(runs):
            if length > 0 and self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], start + length)
            elif length > 0:
                self._starts.append(start)
                self._ends.append(start + length)

    def meet(self, start: int, end: int) -> bool:
        """Whether one of them has a byte from `start` up to `end`."""
        before = bisect_left(self._starts, end)
        return before > 0 and self._ends[before - 1] > start


def _hex(data: bytes) -> str:
    shown = data[:_SHOWN_BYTES].hex(" ", 4)
    return f"{shown} … {len(data):,} bytes" if len(data) > _SHOWN_BYTES else shown
