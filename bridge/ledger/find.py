"""Finding somebody by whatever is at hand: what a story is asked for by, and names, targets' ids and event ids too. Read-only."""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import Connection

from bridge.ledger import loose
from bridge.ledger.reports import REGISTRATION, ask, id_of
from bridge.ledger.story import whereabouts

MOST: Final = 50
"""How many purchases are shown, newest first."""

_PEOPLE: Final = 100_000
"""How many of the newest learners are searched by name: names have no index."""

_SHORTEST_NAME: Final = 2
_BY_NAME: Final = """
SELECT p.id, p.first_name, p.last_name FROM (SELECT l.id, l.first_name, l.last_name FROM learner l ORDER BY l.id DESC LIMIT :people) p
WHERE lower(p.first_name || ' ' || p.last_name) LIKE :like ORDER BY p.id DESC LIMIT :most
"""
_BY_REMOTE_ID: Final = "SELECT f.target, f.key FROM remote_ref f WHERE f.remote_id = :what LIMIT :most"
_OF_LEARNERS: Final = "SELECT g.id FROM registration g WHERE g.learner_id IN :learners ORDER BY g.id DESC LIMIT :most"


def find(connection: Connection, what: str) -> dict[str, Any]:
    """Return what the ledger knows of ``what``: ``purchases`` (newest first, each with ``found_by``), ``waiting``, ``events``.

    Costs a moment where no index leads to it: names are searched among the newest hundred thousand people, and a target's
    ids where nothing else was found.
    """
    what = what.strip()
    found, waiting, events = whereabouts(connection, what)
    by: dict[int, set[str]] = {one: set(kinds) for one, kinds in found.items()}
    if what and not by and "@" not in what:
        for one in _named(connection, what):
            by.setdefault(one, set()).add("name")
        for one in _known_as(connection, what) if not by else ():
            by.setdefault(one, set()).add("a target's id")
    if (number := id_of(what)) is not None and number not in {row["event_id"] for row in events}:
        events += loose.events(connection, [number])
    rows = ask(
        connection,
        f"SELECT {REGISTRATION}, l.email, l.remote_user_id, l.first_name, l.last_name FROM registration g"
        " JOIN learner l ON l.id = g.learner_id WHERE g.id IN :ids ORDER BY g.id DESC",
        ids=sorted(by, reverse=True)[:MOST],
    )
    purchases = [{**row, "found_by": sorted(by[row["registration_id"]])} for row in rows]
    return {"purchases": purchases, "more": len(by) > MOST, "waiting": waiting, "events": events}


def _named(connection: Connection, what: str) -> list[int]:
    words = what.casefold().split()
    if sum(map(len, words)) < _SHORTEST_NAME:
        return []
    # In whatever order the words come: the longest is looked for, and all of them compared.
    seed = re.sub(r"[^a-z0-9]", "_", max(words, key=len))
    rows = ask(connection, _BY_NAME, like=f"%{seed}%", people=_PEOPLE, most=500)
    learners = [
        row["id"] for row in rows if all(word in f"{row['first_name']} {row['last_name']}".casefold() for word in words)
    ]
    return _registered(connection, learners)


def _registered(connection: Connection, learners: list[int]) -> list[int]:
    return [row["id"] for row in ask(connection, _OF_LEARNERS, learners=learners, most=MOST + 1)]


def _known_as(connection: Connection, what: str) -> list[int]:
    found: list[int] = []
    for row in ask(connection, _BY_REMOTE_ID, what=what, most=MOST):
        kind, _, rest = row["key"].partition(":")
        if kind == "right" and rest.isdigit():
            statement = 'SELECT t.registration_id AS id FROM "grant" t WHERE t.right_id = :id'
            found += [one["id"] for one in ask(connection, statement, id=int(rest))]
        elif kind == "email":
            learners = ask(connection, "SELECT l.id FROM learner l WHERE l.email_key = :key", key=rest)
            found += _registered(connection, [one["id"] for one in learners])
        elif kind == "id":
            namespace, _, user = rest.partition(":")
            statement = "SELECT l.id FROM learner l WHERE l.namespace = :namespace AND l.remote_user_id = :user"
            learners = ask(connection, statement, namespace=namespace, user=user)
            found += _registered(connection, [one["id"] for one in learners])
    return found
