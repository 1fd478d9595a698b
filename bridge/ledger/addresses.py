"""A changed address, at the targets that know people by it: rights, work and remote ids follow the person."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bridge.ledger.rights import derive_wanted
from bridge.ledger.tables import UNSETTLED
from bridge.ledger.unit import Unit

_OF_PERSON = 'SELECT w.id FROM "right" w WHERE w.target = :target AND w.person = :person ORDER BY w.id'
_RENAME_WORK = """
UPDATE delivery SET person = :person
WHERE right_id IN (SELECT r.id FROM {rows})
 AND (state IN ('open', 'blocked', 'dead') OR (state = 'leased' AND NOT EXISTS
  (SELECT 1 FROM delivery b WHERE b.target = :target AND b.person = :person AND b.state = 'leased')))
"""
_RENAME_RIGHTS = """
UPDATE "right" SET person = :person, former = coalesce(former, :former), updated_at = :now
WHERE id IN (SELECT r.id FROM {rows})
"""
_RENAME_WAITING = """
UPDATE delivery SET key = :person, person = :person
WHERE registration_id IN (SELECT g.id FROM registration g WHERE g.learner_id = :learner)
 AND target = :target AND key = :former AND state = 'waiting'
"""
_SETTLE_CONTACT = f"""
UPDATE delivery SET state = 'done', why = 'the address changed', updated_at = :now
WHERE target = :target AND kind = 'contact' AND key = :former AND {UNSETTLED} AND state <> 'leased'
"""
# One that is under way learns the remote ids: they must come to the new address, and the change is told after it. One of
# which nobody knows whether it had its effect goes along, so that the next try knows as little.
_RENAME_CONTACT = f"""
UPDATE delivery SET key = :person, person = :person
WHERE target = :target AND kind = 'contact' AND key = :former AND {UNSETTLED} AND (state = 'leased' OR unknown <> 0) AND NOT EXISTS
 (SELECT 1 FROM delivery b WHERE b.target = :target AND b.person = :person AND b.{UNSETTLED})
"""
# Where the person's own ids stay with somebody else, those of a registration are true at the new address as well: what a
# target was told of it once (an event) must not be told again.
_COPY_REFS = """
INSERT INTO remote_ref (target, kind, key, remote_id, updated_at)
SELECT f.target, f.kind, :person, f.remote_id, :now FROM remote_ref f
WHERE f.target = :target AND f.key = :former AND f.kind LIKE '%:%'
ON CONFLICT (target, kind, key) DO NOTHING
"""
_RESTING = """
SELECT DISTINCT w.* FROM "right" w JOIN "grant" t ON t.right_id = w.id JOIN registration g ON g.id = t.registration_id
WHERE w.target = :target AND w.person = :former AND g.learner_id = :learner AND t.superseded = 0
 AND g.intent IN ('live', 'suspended') ORDER BY w.id
"""
_OTHER_RIGHT = """
INSERT INTO "right" (target, person, course_key, course, learner_id, wanted, created_at, updated_at)
VALUES (:target, :person, :course_key, :course, :learner, 0, :now, :now)
ON CONFLICT (target, person, course_key) DO UPDATE SET learner_id = excluded.learner_id RETURNING id
"""
_ITS_GRANTS = """
FROM "grant" t JOIN registration g ON g.id = t.registration_id
WHERE t.right_id = :old AND g.learner_id = :learner AND t.superseded = 0 AND g.intent IN ('live', 'suspended')
"""
_COPY_GRANTS = f"""
INSERT INTO "grant" (registration_id, course, right_id, live, expires_at, full_access)
SELECT t.registration_id, t.course, :new, t.live, t.expires_at, t.full_access {_ITS_GRANTS}
ON CONFLICT (registration_id, course, coalesce(right_id, 0))
DO UPDATE SET live = excluded.live, superseded = 0, expires_at = excluded.expires_at, full_access = excluded.full_access
"""
_SUPERSEDE = f'UPDATE "grant" SET live = 0, superseded = 1 WHERE id IN (SELECT t.id {_ITS_GRANTS})'
_NEXT_HEIR = 'UPDATE "right" SET heir_id = :taken WHERE heir_id IS NOT NULL AND heir_id = :left AND id <> :taken'
_NEXT_LEARNER = """
UPDATE "right" SET learner_id = (SELECT g.learner_id FROM "grant" t JOIN registration g ON g.id = t.registration_id
 WHERE t.right_id = "right".id AND t.live = 1 ORDER BY g.id DESC LIMIT 1)
WHERE id = :old AND EXISTS (SELECT 1 FROM "grant" t WHERE t.right_id = "right".id AND t.live = 1)
"""


def move_person(
    unit: Unit, learner_id: int, target: str, former: str, person: str, *, alone: Callable[[], bool], now: int
) -> list[int]:
    """Follow a changed address at a target that knows people by it; return the rights that need work.

    Where nobody else stands behind the old address (``alone``) and the new one is unknown to us, the account moves: its
    rights and its remote ids. Otherwise the grants move to rights of the new address, and the old rights are judged anew.
    """
    names = {"target": target, "former": former, "person": person}
    # Held first: whoever buys something at the old address at this moment is there, or has to wait, when we ask.
    rights = unit.rows(_OF_PERSON + unit.holding("w"), target=target, person=former)
    moves = alone()
    unit.run(_RENAME_WAITING, **names, learner=learner_id)
    if moves:
        # Open work on the old address would make a contact that nobody wants; the change itself opens it for the new one.
        unit.run(_RENAME_CONTACT, **names)
        unit.run(_SETTLE_CONTACT, target=target, former=former, now=now)
    if not moves or unit.rows(_OF_PERSON, target=target, person=person):
        unit.run(_COPY_REFS, **names, now=now)
        pairs = move_grants(unit, learner_id, target, former, person, now)
        return [right_id for pair in pairs for right_id in pair]
    _move_refs(unit, names, now)
    ids = [{"id": row.id} for row in rights]
    unit.each(_RENAME_WORK, {"id": "int"}, ids, target=target, person=person)
    unit.each(_RENAME_RIGHTS, {"id": "int"}, ids, former=former, person=person, now=now)
    return [row.id for row in rights]


def move_grants(unit: Unit, learner_id: int, target: str, former: str, person: str, now: int) -> list[tuple[int, int]]:
    """Let a learner's grants at one person of a target rest on rights of another; return the rights: (left, taken).

    Only of purchases that stand: one that has ended moves when it is resumed. A right that is left by all is let go of only
    when the one that takes its place has arrived: both need work, which finds out when that is.
    """
    pairs: list[tuple[int, int]] = []
    for old in unit.rows(_RESTING, target=target, former=former, learner=learner_id):
        new = _other_right(unit, old, learner_id, person, now)
        unit.run(_COPY_GRANTS, old=old.id, new=new, learner=learner_id)
        unit.run(_SUPERSEDE, old=old.id, learner=learner_id)
        unit.run(_NEXT_LEARNER, old=old.id)
        pairs.append((old.id, new))
    derive_wanted(unit, (right_id for pair in pairs for right_id in pair), now)
    inherit(unit, pairs)
    return pairs


def inherit(unit: Unit, pairs: Iterable[tuple[int, int]]) -> None:
    """Let rights that nobody wants any more be held until what takes their place has arrived: (left, taken)."""
    for left, taken in pairs:
        unit.run(_NEXT_HEIR, left=left, taken=taken)
        unit.run('UPDATE "right" SET heir_id = NULL, awaited = 1 WHERE id = :taken', taken=taken)
        unit.run('UPDATE "right" SET heir_id = :taken WHERE id = :left AND wanted = 0', left=left, taken=taken)


def _other_right(unit: Unit, old: Any, learner_id: int, person: str, now: int) -> int:
    row = unit.rows(
        _OTHER_RIGHT,
        target=old.target,
        person=person,
        course_key=old.course_key,
        course=old.course,
        learner=learner_id,
        now=now,
    )[0]
    return int(row.id)


def _move_refs(unit: Unit, names: dict[str, str], now: int) -> None:
    if unit.rows("SELECT 1 FROM remote_ref WHERE target = :target AND key = :person LIMIT 1", **names):
        unit.run(_COPY_REFS, **names, now=now)
    else:
        unit.run("UPDATE remote_ref SET key = :person WHERE target = :target AND key = :former", **names)
