"""The story of a purchase: every event, grant, right, delivery, attempt and operator action behind it. Read-only.

Found by registration id, order number (or any other id of the order), event key, e-mail address or remote user id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

import orjson
from sqlalchemy import Connection

from bridge.contract.command import email_key
from bridge.ledger import loose, removals, seats
from bridge.ledger.behind import contacts, remote_ids
from bridge.ledger.identities import merged
from bridge.ledger.loose import hops
from bridge.ledger.reports import ATTEMPT, DELIVERY, EVENT, QUARANTINE, REGISTRATION, RIGHT, ask, family, id_of, pauses

By = Literal["registration", "order", "event", "email", "user"]
"""What the text is that a story is asked for by."""

_LEARNER: Final = (
    "l.id AS learner_id, l.namespace, l.remote_user_id, l.email, l.first_name, l.last_name, l.phone, l.attributes"
)
_EVENT_BY_KEY: Final = hops("event", "source", "event_key")
_LEARNER_BY_USER_ID: Final = hops("learner", "namespace", "remote_user_id")
_BY_REF: Final = """
WITH RECURSIVE hop(name) AS (
 SELECT min(scope) FROM order_ref
 UNION ALL SELECT (SELECT min(scope) FROM order_ref WHERE scope > hop.name) FROM hop WHERE hop.name IS NOT NULL)
SELECT o.registration_id AS id FROM hop JOIN order_ref o ON o.scope = hop.name AND o.ref = :what ORDER BY 1
"""
_WAITING: Final = f"""
SELECT {QUARANTINE}, q.command FROM quarantine q
WHERE q.kind IN ('unmapped', 'early') AND q.registration_id IS NULL AND lower(q.command) LIKE :like ORDER BY q.id
"""


def story(connection: Connection, what: str, by: By | None = None) -> dict[str, Any] | None:
    """Return everything the ledger knows of ``what``, or None when that is nothing.

    Args:
        connection: a reading one.
        what: registration id, order number, event key, e-mail address or remote user id.
        by: which of them it is; None tries all, and several may be found.

    Returns:
        ``purchases`` (one a registration, in order, each with its ``story`` in time order, what of it may have been ``removed``,
        what is ``scheduled`` and what comes ``next``),
        ``waiting`` (quarantined lines without a registration) and ``events`` (such as led to no registration).
    """
    what = what.strip()
    found, waiting, loose = whereabouts(connection, what, by)
    purchases = [
        {**_purchase(connection, registration_id), "found_by": found[registration_id]}
        for registration_id in sorted(found)
    ]
    told = {event["event_id"] for purchase in purchases for event in purchase["events"]}
    loose = [event for event in loose if event["event_id"] not in told]
    if not (purchases or waiting or loose):
        return None
    return {"what": what, "purchases": purchases, "waiting": waiting, "events": loose}


def whereabouts(
    connection: Connection, what: str, by: By | None = None
) -> tuple[dict[int, list[By]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return where ``what`` stands, without the stories: registrations with what they were found by, lines that wait, events."""
    if not what:
        return {}, [], []
    found = _registrations(connection, what, by)
    ids = [row["id"] for row in ask(connection, _EVENT_BY_KEY, what=what)] if by in (None, "event") else []
    searched = by not in ("registration", "event") and ("@" in what or not found)
    return found, _waiting(connection, what, by), loose.events(connection, ids, what if searched else "")


def _registrations(connection: Connection, what: str, by: By | None) -> dict[int, list[By]]:
    found: dict[int, list[By]] = {}

    def add(kind: By, statement: str, **values: Any) -> None:
        for row in ask(connection, statement, **values):
            kinds = found.setdefault(row["id"], [])
            if kind not in kinds:
                kinds.append(kind)

    if by in (None, "registration") and (registration_id := id_of(what)) is not None:
        add("registration", "SELECT g.id FROM registration g WHERE g.id = :id", id=registration_id)
    if by in (None, "order"):
        for column in ("order_number", "transaction_id", "subscription_id"):
            add("order", f"SELECT g.id FROM registration g WHERE g.{column} = :what", what=what)
        add("order", _BY_REF, what=what)
    if by in (None, "event"):
        events = [row["id"] for row in ask(connection, _EVENT_BY_KEY, what=what)]
        add("event", "SELECT f.registration_id AS id FROM effect f WHERE f.event_id IN :events", events=events)
    of_learners = "SELECT g.id FROM registration g WHERE g.learner_id IN :learners"
    if by in (None, "email") and "@" in what:
        learners = ask(connection, "SELECT l.id FROM learner l WHERE l.email_key = :key", key=email_key(what))
        add("email", of_learners, learners=family(connection, [row["id"] for row in learners]))
    if by in (None, "user"):
        learners = ask(connection, _LEARNER_BY_USER_ID, what=what)
        add("user", of_learners, learners=family(connection, [row["id"] for row in learners]))
    return found


def _purchase(connection: Connection, registration_id: int) -> dict[str, Any]:
    own = ask(connection, f"SELECT {REGISTRATION} FROM registration g WHERE g.id = :id", id=registration_id)[0]
    learner = ask(connection, f"SELECT {_LEARNER} FROM learner l WHERE l.id = :id", id=own["learner_id"])[0]
    events = ask(
        connection,
        f"SELECT {EVENT}, f.effect FROM effect f JOIN event e ON e.id = f.event_id WHERE f.registration_id = :id ORDER BY e.id",
        id=registration_id,
    )
    grants = _grants(connection, registration_id)
    deliveries = _deliveries(connection, own, [grant["right"]["right_id"] for grant in grants if grant["right"]])
    lines = ask(
        connection,
        f"SELECT {QUARANTINE} FROM quarantine q WHERE q.registration_id = :id ORDER BY q.id",
        id=registration_id,
    )
    also = merged(connection, own["learner_id"])
    actions = [*_merges(connection, registration_id, own["learner_id"]), *_actions(connection, own, deliveries, lines)]
    return {
        **own,
        "learner": {**learner, "merged": also},
        "events": events,
        "grants": grants,
        "deliveries": deliveries,
        "contacts": contacts(connection, registration_id, learner),
        "quarantine": lines,
        "seats": _seats(connection, registration_id),
        "claimed_from": seats.claimed_from(connection, registration_id),
        "actions": actions,
        "story": timeline(events, deliveries, lines, actions),
        "scheduled": ask(
            connection,
            "SELECT s.action, s.at, s.event_id, s.occurred_at FROM scheduled_change s WHERE s.registration_id = :id ORDER BY s.at",
            id=registration_id,
        ),
        "removed": removals.told(connection, own["created_at"]),
        "next": _next(deliveries, {pause["target"]: pause for pause in pauses(connection)}),
    }


def _seats(connection: Connection, registration_id: int) -> list[dict[str, Any]]:
    # Without the codes: a link is for whoever gets the seat, and a story is shown around.
    rows = seats.told(connection, registration_id)
    return [{name: value for name, value in row.items() if name != "code"} for row in rows]


def _grants(connection: Connection, registration_id: int) -> list[dict[str, Any]]:
    grants = ask(
        connection,
        'SELECT t.course, t.live, t.expires_at, t.full_access, t.superseded, t.right_id FROM "grant" t'
        " WHERE t.registration_id = :id ORDER BY t.id",
        id=registration_id,
    )
    ids = [grant["right_id"] for grant in grants if grant["right_id"] is not None]
    rights = {
        row["right_id"]: row for row in ask(connection, f'SELECT {RIGHT} FROM "right" w WHERE w.id IN :ids', ids=ids)
    }
    for right in rights.values():
        right["remote_ids"] = remote_ids(connection, right["target"], [right["person"], f"right:{right['right_id']}"])
    return [{**grant, "right": rights.get(grant["right_id"])} for grant in grants]


def _deliveries(connection: Connection, own: dict[str, Any], rights: list[int]) -> list[dict[str, Any]]:
    """Return the work on the registration's rights, its own work, and work on the contact that carried it along."""
    select = f"SELECT {DELIVERY} FROM delivery d"
    rows = ask(connection, f"{select} WHERE d.registration_id = :id", id=own["registration_id"])
    rows += ask(connection, f"{select} WHERE d.right_id IN :rights", rights=rights)
    of_contacts = ask(
        connection,
        f"{select} JOIN registration g ON g.id = d.registration_id WHERE g.learner_id = :learner AND d.kind = 'contact'",
        learner=own["learner_id"],
    )
    rows += [row for row in of_contacts if row["updated_at"] >= own["created_at"]]
    by_id = {row["delivery_id"]: {**row, "attempts": []} for row in sorted(rows, key=lambda row: row["delivery_id"])}
    for attempt in ask(
        connection, f"SELECT {ATTEMPT} FROM attempt a WHERE a.delivery_id IN :ids ORDER BY a.id", ids=list(by_id)
    ):
        by_id[attempt["delivery_id"]]["attempts"].append(attempt)
    for row in by_id.values():
        row["remote_ids"] = remote_ids(connection, row["target"], [row["person"]]) if row["kind"] == "contact" else {}
    return list(by_id.values())


def _actions(
    connection: Connection, own: dict[str, Any], deliveries: Iterable[dict[str, Any]], lines: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    # An action's subject is what the operator named: ids with commas, or a target.
    letters = {str(row["delivery_id"]) for row in deliveries}
    subjects = {
        "requeue": letters,
        "dismiss": letters,
        "retry": letters,
        "release": {str(row["quarantine_id"]) for row in lines},
        "seats": {str(own["registration_id"])},
        "cancel": {str(own["registration_id"])},
        "move": {str(own["registration_id"])},
        "doctor": set[str](),  # who looks at a target changes nothing
    }
    targets = {row["target"] for row in deliveries}
    rows = ask(connection, "SELECT o.at, o.operator, o.action, o.subject, o.note FROM operator_action o ORDER BY o.id")
    since = min([own["created_at"], *(row["created_at"] for row in lines)])
    return [
        row
        for row in rows
        if row["at"] >= since and set(row["subject"].split(",")) & subjects.get(row["action"], targets)
    ]


def _merges(connection: Connection, registration_id: int, learner_id: int) -> list[dict[str, Any]]:
    """Return by which merges the purchase came to who has it, and by which it went back, as actions."""
    rows = ask(
        connection,
        "SELECT m.from_id, m.into_id, m.operator, m.at, m.undone_by, m.undone_at FROM learner_merge m WHERE m.from_id = :learner"
        " OR m.into_id = :learner OR m.id IN (SELECT x.merge_id FROM merged_registration x WHERE x.registration_id = :id)"
        " ORDER BY m.id",
        id=registration_id,
        learner=learner_id,
    )
    told = []
    for row in rows:
        subject = f"{row['from_id']},{row['into_id']}"
        words = f"the same person as learner {row['into_id']}"
        done = {"at": row["at"], "operator": row["operator"], "action": "merge", "subject": subject}
        told.append({**done, "note": f"learner {row['from_id']} is {words}"})
        if row["undone_at"] is not None:
            undone = {"at": row["undone_at"], "operator": row["undone_by"], "action": "unmerge", "subject": subject}
            told.append({**undone, "note": f"learner {row['from_id']} is not {words}"})
    return told


def timeline(
    events: Iterable[dict[str, Any]],
    deliveries: Iterable[dict[str, Any]],
    lines: Iterable[dict[str, Any]],
    actions: Iterable[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return what happened in time order: ``at``, ``what`` (event, attempt, quarantine, action), its ids and its words."""
    entries = [
        {
            "what": "event",
            **_part(event, "received_at", "event_id", "source", "adapter", "effect", "method", "path", "note"),
        }
        for event in events
    ]
    for delivery in deliveries:
        parts = ("attempt_id", "delivery_id", "operation", "outcome", "why", "ms")
        entries += [
            {"what": "attempt", **_part(attempt, "at", *parts), "target": delivery["target"]}
            for attempt in delivery["attempts"]
        ]
    for line in lines:
        named = ("quarantine_id", "kind", "remote_product_id", "note")
        entries.append({"what": "quarantine", **_part(line, "created_at", *named), "state": "waiting"})
        if line["state"] != "waiting":
            entries.append({"what": "quarantine", **_part(line, "updated_at", *named), "state": line["state"]})
    entries += [
        {"what": "action", **_part(action, "at", "operator", "action", "subject", "note")} for action in actions
    ]
    return sorted(entries, key=lambda entry: entry["at"])


def _part(row: dict[str, Any], at: str, *names: str) -> dict[str, Any]:
    return {"at": row[at], **{name: row[name] for name in names}}


def _next(deliveries: Iterable[dict[str, Any]], paused: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of every piece of work that is not done where it stands, and when it is due."""
    return [
        {
            **{
                name: row[name]
                for name in ("delivery_id", "target", "kind", "event_id", "state", "due_at", "why", "remedy")
            },
            "paused_by": paused[row["target"]]["paused_by"] if row["target"] in paused else None,
            "paused_why": paused[row["target"]]["why"] if row["target"] in paused else None,
            "paused_remedy": paused[row["target"]]["remedy"] if row["target"] in paused else None,
        }
        for row in deliveries
        if row["state"] != "done"
    ]


def _waiting(connection: Connection, what: str, by: By | None) -> list[dict[str, Any]]:
    """Return quarantined lines of the person or order. Without a registration, what is known stands in the command only."""
    if by in ("registration", "event"):
        return []
    rows = ask(connection, _WAITING, like=loose.like(what))
    return [row for row in rows if _is_of(orjson.loads(row.pop("command")), what, by)]


def _is_of(command: dict[str, Any], what: str, by: By | None) -> bool:
    learner, order = command.get("learner") or {}, command.get("order") or {}
    email = learner.get("email")
    found = {
        "email": email is not None and "@" in what and email_key(email) == email_key(what),
        "user": learner.get("remote_user_id") == what,
        "order": what
        in (
            command.get("business_key"),
            *(order.get(name) for name in ("number", "transaction_id", "subscription_id")),
            *(order.get("refs") or ()),
        ),
    }
    return any(same for kind, same in found.items() if by in (None, kind))
