"""Who the ledger knows: learners by address, name, user id or number, and who may be one person with whom. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from bridge.contract.command import email_key
from bridge.ledger.reports import ask, id_of

LEARNER: Final = (
    "l.id AS learner_id, l.namespace, l.remote_user_id, l.email, l.first_name, l.last_name, l.merged_into, l.created_at,"
    " (SELECT count(*) FROM registration g WHERE g.learner_id = l.id) AS registrations"
)
_BY_ID: Final = f"SELECT {LEARNER} FROM learner l WHERE l.id = :what"
_BY_EMAIL: Final = f"SELECT {LEARNER} FROM learner l WHERE l.email_key = :what ORDER BY l.id LIMIT :limit"
_BY_USER_ID: Final = f"SELECT {LEARNER} FROM learner l WHERE l.remote_user_id = :what ORDER BY l.id LIMIT :limit"
_BY_NAME: Final = f"""
SELECT {LEARNER} FROM learner l WHERE lower(l.first_name || ' ' || l.last_name) LIKE :what ESCAPE '!' ORDER BY l.id LIMIT :limit
"""
_SHARED: Final = f"""
SELECT {LEARNER} FROM learner l WHERE l.merged_into IS NULL AND l.email_key IN (
 SELECT s.email_key FROM learner s WHERE s.merged_into IS NULL AND s.email_key IS NOT NULL
 GROUP BY s.email_key HAVING count(*) > 1 ORDER BY max(s.id) DESC LIMIT :limit)
ORDER BY l.email_key, l.id
"""
_TWINS: Final = """
SELECT a.id AS learner_id, b.id AS twin_id,
 (CASE WHEN lower(a.first_name) = lower(b.first_name) AND lower(a.last_name) = lower(b.last_name) AND a.last_name <> ''
  THEN 1 ELSE 0 END) AS same_name
FROM learner a JOIN learner b ON b.email_key = a.email_key AND b.id <> a.id
WHERE a.id IN :ids AND a.merged_into IS NULL AND b.merged_into IS NULL ORDER BY a.id, b.id
"""
_MERGED: Final = f"""
WITH RECURSIVE down(id) AS (
 SELECT l.id FROM learner l WHERE l.merged_into = :id AND l.merged_into IS NOT NULL
 UNION SELECT l.id FROM down JOIN learner l ON l.merged_into = down.id AND l.merged_into IS NOT NULL)
SELECT {LEARNER} FROM down JOIN learner l ON l.id = down.id ORDER BY l.id
"""


def learners(connection: Connection, what: str | None, limit: int) -> list[dict[str, Any]]:
    """Return learners who are known by ``what``, each with those who are likely the same person (``twins``).

    Args:
        connection: a reading one.
        what: an e-mail address, remote user id, learner id, or a part of a name; None: all who share an address.
        limit: how many of each; without ``what`` how many addresses.

    Returns:
        rows, each with ``twins``: (``learner_id``, ``why``). Who was merged has no twins, and says into whom.
    """
    found = _shared(connection, limit) if what is None else _named(connection, what.strip(), limit)
    return _with_twins(connection, found)


def _with_twins(connection: Connection, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = {row["learner_id"]: row for row in found}
    for row in rows.values():
        row["twins"] = []
    for twin in ask(connection, _TWINS, ids=list(rows)):
        why = "same address and name" if twin["same_name"] else "same address"
        rows[twin["learner_id"]]["twins"].append({"learner_id": twin["twin_id"], "why": why})
    return list(rows.values())


def learner(connection: Connection, learner_id: int) -> dict[str, Any] | None:
    """Return one learner as in :func:`learners`, or None."""
    return next(iter(_with_twins(connection, ask(connection, _BY_ID, what=learner_id))), None)


def _shared(connection: Connection, limit: int) -> list[dict[str, Any]]:
    return ask(connection, _SHARED, limit=limit)


def _named(connection: Connection, what: str, limit: int) -> list[dict[str, Any]]:
    if "@" in what:
        return ask(connection, _BY_EMAIL, what=email_key(what), limit=limit)
    found = ask(connection, _BY_USER_ID, what=what, limit=limit)
    if (learner_id := id_of(what)) is not None:
        found += ask(connection, _BY_ID, what=learner_id)
    pattern = what.lower()
    for sign in "!%_":
        pattern = pattern.replace(sign, f"!{sign}")
    return found or ask(connection, _BY_NAME, what=f"%{pattern}%", limit=limit)


def merged(connection: Connection, learner_id: int) -> list[dict[str, Any]]:
    """Return the learners who were merged into this one."""
    return ask(connection, _MERGED, id=learner_id)
