"""The page of one purchase: what came in, what it meant, what was planned and why, what each target was asked and answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from bridge.contract.catalogue import Catalogue
from bridge.edge.console import timeline, words
from bridge.edge.masked import body_of, veil
from bridge.edge.removed import removed
from bridge.ledger import behind, reports
from bridge.ledger.events import OPERATOR
from bridge.ledger.story import story

PageOf = Callable[[str, str, str], str | None]
"""Given a target, the kind of a remote id and the id, returns the address of the target's own page of it."""

_MOST_BODIES: Final = 5  # events, the newest ones, whose body is shown at once
_MOST_EXCHANGES: Final = 20  # attempts, the newest ones, whose exchanges are


def told(connection: Any, registration_id: int) -> dict[str, Any] | None:
    """Return all that the ledger knows of a purchase and that its page shows, unmasked; None where there is no such purchase."""
    found = story(connection, str(registration_id), "registration")
    if found is None:
        return None
    own = found["purchases"][0]
    attempts = sorted(attempt["attempt_id"] for row in own["deliveries"] for attempt in row["attempts"])
    events = [reports.event(connection, event["event_id"]) for event in own["events"][-_MOST_BODIES:]]
    return {
        "own": own,
        "mapping": behind.mapping(connection, registration_id),
        "exchanges": behind.exchanges(connection, attempts[-_MOST_EXCHANGES:]),
        "bodies": {event["event_id"]: body_of(event, reveal=False) for event in events if event is not None},
    }


def shown(found: Mapping[str, Any], catalogue: Catalogue, page_of: PageOf) -> dict[str, Any]:
    """Return what the template shows of it, masked and in words."""
    own = veil(found["own"])
    tried = {delivery["delivery_id"] for delivery in own["deliveries"] if delivery["attempts"]}
    bodies, exchanges = found["bodies"], found["exchanges"]
    return {
        "own": own,
        "state": words.state(own),
        "steps": [{**words.step(one), "tried": one["delivery_id"] in tried} for one in own["next"]],
        "lines": [line for line in own["quarantine"] if line["state"] == "waiting"],
        "picture": timeline.picture(own["story"], own["next"]),
        "story": [_entry(one, bodies, exchanges) for one in own["story"]],
        "removed": [removed(one) for one in own["removed"]],
        "plan": _plan(own, found["mapping"], catalogue),
        "ids": list(_ids(own, found["own"], page_of)),
        "elsewhere": _elsewhere(own, catalogue),
        "replays": max((event["event_id"] for event in own["events"] if event["adapter"] != OPERATOR), default=None),
    }


def _entry(one: Mapping[str, Any], bodies: Mapping[int, Any], exchanges: Mapping[int, Any]) -> dict[str, Any]:
    return {
        **one,
        "words": words.entry(one),
        "body": veil(bodies.get(one["event_id"])) if one["what"] == "event" else None,
        "exchanges": veil(exchanges.get(one["attempt_id"], ())) if one["what"] == "attempt" else (),
    }


def _plan(own: Mapping[str, Any], mapping: Mapping[str, Any] | None, catalogue: Catalogue) -> dict[str, Any]:
    """Say what was planned and why: which mapping, and what about it decided."""
    if mapping is None:
        return {"why": [], "today": None, "mapping": None}
    courses = list(dict.fromkeys(grant["course"] for grant in own["grants"] if not grant["superseded"]))
    why = [words.planned(own, mapping["product"], courses)]
    for key in courses:
        tables = sorted(mapping["courses"].get(key, {}).get("tables", {}))
        rights = {grant["right"]["target"] for grant in own["grants"] if grant["course"] == key and grant["right"]}
        why.append(words.led(key, tables, rights))
    if mapping["followers"]:
        why.append(words.followed(mapping["followers"]))
    product = catalogue.products.get((own["source"], own["remote_product_id"]))
    today = None if product is None or set(product.courses) == set(courses) else ", ".join(product.courses)
    kept = {name: mapping[name] for name in ("mapping_version_id", "created_at")}
    return {"why": why, "today": today, "mapping": kept}


def _ids(own: Mapping[str, Any], bare: Mapping[str, Any], page_of: PageOf) -> Iterable[dict[str, Any]]:
    """Return the ids that targets gave, each with the address of the target's own page where that is known.

    The address is made of the id as it is kept: a masked one would lead nowhere.
    """
    rights = [(grant["right"], kept["right"]) for grant, kept in zip(own["grants"], bare["grants"], strict=True)]
    found = [pair for pair in rights if pair[0]]
    for what in ("deliveries", "contacts"):
        found += zip(own[what], bare[what], strict=True)
    seen = set()
    for row, kept in found:
        for kind, remote_id in kept["remote_ids"].items():
            if (row["target"], kind, remote_id) in seen:
                continue
            seen.add((row["target"], kind, remote_id))
            said = row["remote_ids"][kind]
            address = page_of(row["target"], kind, remote_id) if said == remote_id else None
            yield {"target": row["target"], "kind": kind, "id": said, "page": address}


def _elsewhere(own: Mapping[str, Any], catalogue: Catalogue) -> list[str]:
    """Return the courses that a live purchase could be moved to; none where nobody gets in by it."""
    standing = {grant["course"] for grant in own["grants"] if not grant["superseded"]}
    if own["intent"] not in ("live", "suspended") or not standing:
        return []
    return sorted(key for key in catalogue.courses if {key} != standing)
