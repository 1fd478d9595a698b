"""What the console says: causes and remedies in words, spans of time, numbers that were counted up to a limit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final

from bridge.edge.masked import plain, veil
from bridge.ledger.events import OPERATOR
from bridge.ledger.overview import MANY

Row = Mapping[str, Any]

_PARTICULAR: Final = re.compile(r"\"[^\"]*\"|'[^']*'|\S*•••\S*|\d+")
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))
_REMEDIES: Final = {
    "unmapped": "Map the product under [[products]] in bridge.toml, then: bridge reload. After that, release the lines.",
    "unreadable": "Set the source right in bridge.toml, then: bridge reload. After that, replay the events.",
    "early": "Nothing, as a rule: it came before its purchase, and ends by itself when that comes.",
    "seats": "More seats are claimed than the order still has. Take seats back (bridge seats revoke), or release the line to leave them as they are.",
}
_CAUSES: Final = {
    "unmapped": "Product {product} of {source} is not mapped",
    "unreadable": "Events of {source} that could not be read",
    "early": "News of {source} that came before its purchase",
    "seats": "Orders of {source} with more seats claimed than bought",
}
_STATES: Final = {
    "pending": ("Not in yet", "wait"),
    "active": ("In", "good"),
    "suspended": ("Suspended", "wait"),
    "cancelling": ("Being cancelled", "wait"),
    "cancelled": ("Cancelled", "none"),
    "expired": ("Expired", "none"),
    "failed": ("Not in: somebody has to act", "bad"),
}


def span(seconds: float | None) -> str:
    """Return a length of time as people say it: ``340 ms``, ``12 s``, ``3 min``, ``2 h 5 min``, ``4 d``."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{max(0, seconds) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    for at, (size, unit) in enumerate(_UNITS):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            smaller = _UNITS[at + 1] if at + 1 < len(_UNITS) else None
            more = f" {rest // smaller[0]:.0f} {smaller[1]}" if smaller and whole < 10 and rest >= smaller[0] else ""
            return f"{whole:.0f} {unit}{more}"
    return "-"


def number(count: int) -> str:
    """Return a count with its thousands apart, and that it may be more where counting ended."""
    return f"{count:,} or more" if count >= MANY else f"{count:,}"


def state(name: str) -> tuple[str, str]:
    """Return what a registration's state means, and how it is marked."""
    return _STATES.get(name, (name, "none"))


def quarantine_group(row: Row) -> dict[str, Any]:
    """Return a group of quarantined lines with its ``cause`` and ``remedy`` in words, and what may be done."""
    kind = str(row["kind"])
    cause = _CAUSES.get(kind, kind).format(product=row["remote_product_id"] or "(none)", source=row["source"])
    act = {"unmapped": "release", "unreadable": "replay"}.get(kind)
    return {**row, "cause": cause, "remedy": _REMEDIES.get(kind, ""), "act": act}


def grouped(rows: Iterable[Row], where: str, key: str) -> list[dict[str, Any]]:
    """Group dead letters by what was told of them, particulars aside; largest first, each with its ``ids``.

    Args:
        rows: with ``why`` and ``remedy``; each different one is masked once, of a thousand that are mostly alike.
        where: the field that names the target or source.
        key: the field that holds the id.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    told: dict[str, tuple[str, str]] = {"": ("", "")}
    for row in rows:
        for text in (row["why"], row["remedy"]):
            if text and text not in told:
                masked = veil(text)
                told[text] = (masked, _PARTICULAR.sub("…", masked))
        (why, why_alike), (remedy, remedy_alike) = told[row["why"] or ""], told[row["remedy"] or ""]
        alike = (row[where], row["kind"], why_alike, remedy_alike)
        group = groups.setdefault(
            alike, {"where": row[where], "kind": row["kind"], "why": why, "remedy": remedy, "rows": [], "ids": []}
        )
        group["rows"].append(row)
        group["ids"].append(row[key])
    for group in groups.values():
        group["since"] = min(row["updated_at"] for row in group["rows"])
    return sorted(groups.values(), key=lambda group: -len(group["ids"]))


def entry(row: Row) -> str:
    """Return one entry of a purchase's story in words."""
    note = f" ({row['note']})" if row.get("note") else ""
    match row["what"]:
        case "event" if row["adapter"] == OPERATOR:
            return f"Event {row['event_id']}: {row['note']}"
        case "event":
            return f"{row['source']} sent event {row['event_id']}: {row['effect']}{note}"
        case "attempt":
            why = f": {row['why']}" if row["why"] else ""
            return (
                f"{row['target']} was told ({row['operation']}): {_OUTCOMES.get(row['outcome'], row['outcome'])}{why}"
            )
        case "quarantine" if row["state"] == "waiting" and row["kind"] == "early":
            return "It came before its purchase and waited"
        case "quarantine" if row["state"] == "waiting" and row["kind"] == "unmapped":
            return f"Product {row['remote_product_id']} was not mapped, and the line waited in quarantine"
        case "quarantine":
            return f"Quarantine: {row['state']}{note}"
    return f"{row['operator']} did {row['action']} {row['subject']}{note}"


_OUTCOMES: Final = {
    "receipt": "done",
    "nothing": "nothing to do",
    "later": "not now",
    "operator": "needs a person",
    "refused": "refused",
    "pending": "taken, answer to come",
}


def step(row: Row) -> dict[str, Any]:
    """Return what comes next at one target: what it ``waits`` for, how bad that is, the remedy, what may be done here."""
    found = {"target": row["target"], "delivery_id": row["delivery_id"], "event_id": row["event_id"], "act": None}
    why = (row["why"] or "").rstrip(".")
    if row["state"] == "dead":
        waits = f"Given up as a dead letter: {why}." if why else "Given up as a dead letter."
        return {**found, "mark": "bad", "waits": waits, "remedy": row["remedy"] or "", "act": "requeue"}
    if row["paused_by"] and row["state"] != "leased":
        reason = f": {row['paused_why'].rstrip('.')}" if row["paused_why"] else ""
        waits = f"The target was paused by {row['paused_by']}{reason}."
        return {**found, "mark": "bad", "waits": waits, "remedy": row["paused_remedy"] or "", "act": "resume"}
    texts = {
        "waiting": ("Waits until the learner is in.", "wait"),
        "blocked": ("Waits for another delivery of this person.", "wait"),
        "leased": ("Is under way.", "wait"),
    }
    due = f"Is due at {plain(row['due_at'])} UTC{': ' + why if why else ''}."
    waits, mark = texts.get(row["state"], (due, "wait"))
    return {**found, "mark": mark, "waits": waits, "remedy": ""}


def quiet(times: Iterable[Any], now: Any, reach: Any) -> dict[str, Any]:
    """Judge a source by its newest events (newest first): ``last``, ``silent`` (seconds), ``longest`` pause before, ``quiet``.

    A source that never spoke (``reach`` is None) did not go quiet. One is when it has been silent for half as long again as ever before among its newest events, and for an hour.
    """
    seen = list(times)
    if not seen:
        silent = None if reach is None else (now - reach).total_seconds()
        return {"last": None, "silent": silent, "longest": None, "quiet": silent is not None and silent > 3_600}
    pauses = [(later - earlier).total_seconds() for later, earlier in pairwise(seen)]
    silent, longest = (now - seen[0]).total_seconds(), max(pauses, default=None)
    expected = max(3_600.0, 1.5 * longest) if longest is not None else 86_400.0
    return {"last": seen[0], "silent": silent, "longest": longest, "quiet": silent > expected}
