"""What the console says: causes and remedies in words, spans of time, numbers that were counted up to a limit."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bridge.contract.settings import Rate
from bridge.edge.health import Gait
from bridge.edge.masked import plain, veil
from bridge.edge.systems import TargetFacts
from bridge.kit.clock import moment
from bridge.ledger.events import OPERATOR
from bridge.ledger.overview import MANY

Row = Mapping[str, Any]

_EXAMPLES: Final = 8  # of a cause: purchases that lead to its stories
_TOLD, _REASONS = 50, 3  # of a cause: how many are read for what else was said, and how much of that is shown
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))
_REMEDIES: Final = {
    "unmapped": "Map the product under [[products]] in bridge.toml, then: bridge reload. After that, release the lines.",
    "unreadable": "Set the source right in bridge.toml, then: bridge reload. After that, replay the events.",
    "early": "Nothing, as a rule: it came before its purchase, and ends by itself when that comes. Its note says where a product has to be mapped first.",
    "seats": "More seats are claimed than the order still has. Take seats back (bridge seats revoke), or release the line to leave them as they are.",
}
_DOWN: Final = (
    "Nothing, where it is known to be down: the bridge asks by itself whether it is back, and then goes on. Otherwise see"
    " whether its address is right: bridge doctor --target {target}"
)
_AGAIN: Final = (
    "Nothing for now: it is tried again by itself. When the reason is mended, there is no need to wait: try it now."
)
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


def state(row: Row) -> tuple[str, str]:
    """Return what the state of a registration means, and how it is marked."""
    said, mark = _STATES.get(row["state"], (row["state"], "none"))
    return (f"{said}, never mapped" if row["never_mapped"] else said), mark


def quarantine_group(row: Row) -> dict[str, Any]:
    """Return a group of quarantined lines, masked: its ``cause`` and ``remedy`` in words, what may be done, its ``key`` for a form."""
    kind, shown = str(row["kind"]), veil(row)
    cause = _CAUSES.get(kind, kind).format(product=shown["remote_product_id"] or "(none)", source=shown["source"])
    act = {"unmapped": "release", "unreadable": "replay"}.get(kind)
    return {**shown, "cause": cause, "remedy": _REMEDIES.get(kind, ""), "act": act, "key": key_of_lines(row)}


def dead_group(row: Any, where: str) -> dict[str, Any]:
    """Return what was given up for one reason, as the ledger groups it, masked: ``where``, ``n``, ``why``, ``remedy``, ``kinds``, ``since``.

    With its ``key``, by which a form can name it.
    """
    kinds = [
        (getattr(row, "rights", 0), "not let in, or not out"),
        (getattr(row, "contacts", 0), "contacts not told"),
    ]
    kinds.append((row.n - sum(count for count, _ in kinds) if hasattr(row, "rights") else 0, "notices not sent"))
    return {
        "where": where,
        "n": row.n,
        "why": veil(row.why or ""),
        "remedy": veil(row.remedy),
        "kinds": ", ".join(f"{number(count)} {said}" for count, said in kinds if count),
        "since": moment(row.since),
        "key": key_of(where, row.remedy),
    }


def key_of(*reason: str) -> str:
    """Return by which a form names what waits for one reason: as it is kept, and not as it is shown, which may be masked."""
    return hashlib.sha256("\0".join(reason).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def key_of_lines(row: Row) -> str:
    """Return by which a form names a group of quarantined lines, which are of one kind, source and product."""
    return key_of(row["kind"], row["source"], row["remote_product_id"])


def with_examples(group: Row, rows: Iterable[Row], where: str) -> dict[str, Any]:
    """Return the group with ``examples`` of it among ``rows``: ids, and the different things that were said, masked."""
    own = [row for row in rows if key_of(row[where], row["remedy"]) == group["key"]]
    told = dict.fromkeys(veil(row["why"]) for row in own[:_TOLD] if row["why"])
    return {**group, "examples": own[:_EXAMPLES], "told": [why for why in told if why != group["why"]][:_REASONS]}


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


def planned(own: Row, product: Row | None, courses: Sequence[str]) -> str:
    """Say which entry of the mapping decided where a purchase leads."""
    what = f"{own['source']}'s product {own['remote_product_id']}"
    if not courses:
        return f"{what} opens nothing by itself: its seats do."
    if product is None:
        return f"It leads to {', '.join(courses)}: bridge.toml had no entry for {what}."
    wanted = list(product.get("courses", ()))
    if set(wanted) == set(courses):
        return f"The [[products]] entry for {what} leads to {', '.join(courses)}."
    return f"An operator let it lead to {', '.join(courses)}; the [[products]] entry for {what} said {', '.join(wanted) or 'nothing'}."


def led(course: str, tables: Sequence[str], rights: Collection[str]) -> str:
    """Say why a course is given at the targets that it is given at."""
    if not rights:
        return f"Course {course} is given nowhere: no target that gives access has a table in [courses.{course}]."
    told = ", ".join(sorted(rights))
    why = "it has a table there" if set(tables) >= set(rights) else "that target takes every course"
    return f"Course {course} is given at {told}, because {why}."


def followed(targets: Sequence[str]) -> str:
    """Say which targets are told of a purchase without giving access."""
    return f"{', '.join(sorted(targets))} {'is' if len(targets) == 1 else 'are'} told of it too, as soon as the learner is in."


def step(row: Row) -> dict[str, Any]:
    """Return what comes next at one target: what it ``waits`` for, how bad that is, the remedy, what may be done here."""
    found = {name: row[name] for name in ("target", "delivery_id", "event_id")}
    found |= {"act": None, "due": row["due_at"] if row["state"] == "open" else None}
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
    remedy = _AGAIN if why and row["state"] == "open" else ""
    due = f"Is due at {plain(row['due_at'])} UTC{': ' + why if why else ''}."
    waits, mark = texts.get(row["state"], (due, "wait"))
    return {**found, "mark": mark, "waits": waits, "remedy": remedy}


def lane(row: Row, status: str | None, uses: Iterable[tuple[int, Rate]]) -> dict[str, Any]:
    """Return a lane with how it ``stands`` and how bad that is, and what it uses of its ``rate``.

    Where this bridge does not deliver, only a pause is known.
    """
    remedy = ""
    if row["paused"] is not None or status == "paused":
        stands, mark, remedy = "Paused", "bad", (row["paused"] or {}).get("remedy") or ""
    elif status == "open":
        stands, mark, remedy = "Target is down, tried again by itself", "bad", _DOWN.format(target=row["target"])
    elif row["dead"]:
        stands, mark = "Delivers; dead letters wait for a person", "bad"
    else:
        stands, mark = "Delivers", "good"
    rates = [{"used": min(used, rate.requests), "of": rate.requests, "seconds": rate.seconds} for used, rate in uses]
    fullest = max(rates, key=lambda one: one["used"] / one["of"], default=None)
    return {**row, "stands": stands, "mark": mark, "remedy": remedy, "rate": fullest, "rates": rates}


def breaker(status: str | None, gait: Gait | None) -> str:
    """Say of a lane's breaker whether it lets calls through; ``gait`` is None where this bridge does not deliver."""
    if gait is None:
        return "This bridge does not deliver: another one on the ledger knows."
    if gait.elsewhere:
        return "Open: nothing is sent until another bridge, which asks the target, finds it well."
    if gait.open and gait.probe_in is not None:
        when = "now" if gait.probe_in < 1 else f"in {span(gait.probe_in)}"
        return f"Open: nothing is sent, and the target is asked {when} whether it is well again."
    if gait.open:
        return "Open: the target did not answer, and is not asked while it is paused."
    return "Closed." if status == "paused" else "Closed: calls go through."


def limit_by(facts: TargetFacts, rates: Sequence[Row]) -> str:
    """Say who set the rate limit that is in force: the target itself may have named another in its answers."""
    if facts.own_limit:
        return "rate_limit in bridge.toml"
    if [(one["of"], one["seconds"]) for one in rates] != [tuple(rate) for rate in facts.rates]:
        return "the target, in its answers"
    return "the connector's default" if rates else "nobody"


def pace(gait: Gait | None, most: int) -> str:
    """Say how many deliveries may be under way at once, of the ``most`` that are configured."""
    if gait is not None and gait.hold:
        return f"The target asked for a rest: nothing is sent for {span(gait.hold)}."
    if gait is not None and gait.slots < most:
        return f"{gait.slots} at once instead of {most}, because it was slow or throttled us; more with each that goes well."
    return f"Up to {most} at once."


def credential(row: Row, now: datetime) -> dict[str, Any]:
    """Return what is said of a credential: its ``kind``, ``setting``, ``age`` in seconds and, of several, its ``part``."""
    parts = {0: "", 1: "the current one"}
    age = None if row["since"] is None else max(0.0, (now - row["since"]).total_seconds())
    kind = str(row["kind"])
    return {
        **row,
        "kind": kind[:1].upper() + kind[1:],
        "age": age,
        "part": parts.get(row["place"], "while they rotate"),
    }
