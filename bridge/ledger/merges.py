"""Two learners who are one person, as an operator says: whose registrations are whose, and what takes whose place.

A merged learner's row stays, with what its source told of it; ``merged_into`` leads on to the survivor, who has the
registrations from then on. ``merged_registration`` keeps whose they were, also of those that came by the merged identity
afterwards, so that it can be undone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from bridge.ledger import registrations
from bridge.ledger.learners import Known
from bridge.ledger.rights import derive_wanted
from bridge.ledger.tables import LIVE_INTENTS, UNSETTLED
from bridge.ledger.unit import Unit

_MARK = re.compile(r" \(learner \d+\)$")
_STANDING = "SELECT * FROM learner_merge WHERE from_id = :id AND undone_at IS NULL"
_BEGIN = """
INSERT INTO learner_merge (from_id, into_id, operator, at) VALUES (:from_id, :into_id, :operator, :now) RETURNING id
"""
_KEEP = "INSERT INTO merged_registration (merge_id, registration_id) SELECT :merge, r.id FROM {rows} WHERE true ORDER BY r.id"
_KEEP_ON_THE_WAY = """
WITH RECURSIVE up(registration_id, id, next) AS (
 SELECT r.registration_id, l.id, l.merged_into FROM {rows} JOIN learner l ON l.id = r.via
 UNION ALL SELECT up.registration_id, l.id, l.merged_into FROM up JOIN learner l ON l.id = up.next)
INSERT INTO merged_registration (merge_id, registration_id)
SELECT m.id, up.registration_id FROM up JOIN learner_merge m ON m.from_id = up.id AND m.undone_at IS NULL WHERE true
ON CONFLICT (merge_id, registration_id) DO UPDATE SET given_back = 0
"""
_TO_GIVE_BACK = """
SELECT g.id FROM merged_registration m JOIN registration g ON g.id = m.registration_id
WHERE m.merge_id = :merge AND m.given_back = 0 AND g.learner_id = :learner ORDER BY g.id
"""
# What it went through after this merge is undone with it: it is back where it was before.
_GIVEN_BACK = """
UPDATE merged_registration SET given_back = 1
WHERE merge_id >= :merge AND registration_id IN (SELECT r.id FROM {rows})
"""
_PASSED_ON = "UPDATE merged_registration SET given_back = 1 WHERE registration_id IN (SELECT r.id FROM {rows})"
# Where no business key tells purchases apart, the place of one is its learner, product and line: each of the names that a
# person is known by keeps places of its own, so that a repeat or a cancellation in one of them finds what was bought in it.
_HAND_OVER = """
UPDATE registration SET learner_id = :learner,
 line = (CASE WHEN business_key IS NULL AND line NOT LIKE '% (learner %)' THEN line || :mark ELSE line END)
WHERE id IN (SELECT r.id FROM {rows})
"""
_HAND_BACK = """
UPDATE registration SET learner_id = :learner,
 line = (CASE WHEN business_key IS NULL AND line LIKE '%' || :mark THEN substr(line, 1, length(line) - length(:mark)) ELSE line END)
WHERE id IN (SELECT r.id FROM {rows})
"""
_BESIDE = f"""
SELECT g.id FROM {{rows}} JOIN registration g ON g.id = r.id WHERE g.{LIVE_INTENTS} AND EXISTS
 (SELECT 1 FROM registration o WHERE o.learner_id = :learner AND o.source = g.source AND o.{LIVE_INTENTS}
  AND o.remote_product_id = g.remote_product_id AND o.id NOT IN (SELECT r.id FROM {{rows}}))
"""
_BOUGHT_AS = """
SELECT g.id, (SELECT m.from_id FROM merged_registration x JOIN learner_merge m ON m.id = x.merge_id
 WHERE x.registration_id = g.id AND x.given_back = 0 ORDER BY m.id LIMIT 1) AS learner_id
FROM {rows} JOIN registration g ON g.id = r.id
"""
_IN_FLIGHT = """
SELECT 1 FROM delivery WHERE target = :target AND person = :person AND kind = 'contact' AND state = 'leased' LIMIT 1
"""
_NEXT_LEARNERS = """
UPDATE "right" SET learner_id = (SELECT g.learner_id FROM "grant" t JOIN registration g ON g.id = t.registration_id
 WHERE t.right_id = "right".id AND t.live = 1 ORDER BY g.id DESC LIMIT 1)
WHERE target = :target AND person = :person AND wanted = 1
 AND id IN (SELECT t.right_id FROM {rows} JOIN "grant" t ON t.registration_id = r.id) RETURNING id
"""
_RENAME_WAITING = """
UPDATE delivery SET key = :person, person = :person, learner_id = :learner
WHERE registration_id IN (SELECT r.id FROM {rows}) AND target = :target AND key = :former AND state = 'waiting'
"""
_ADDRESS_NOTICES = """
UPDATE delivery SET learner_id = :learner
WHERE registration_id IN (SELECT r.id FROM {rows}) AND kind = 'notice' AND state <> 'done'
"""
_END_CONTACT = f"""
UPDATE delivery SET state = 'done', why = 'the learner is one with another', updated_at = :now
WHERE target = :target AND kind = 'contact' AND key = :former AND {UNSETTLED} AND state <> 'leased' RETURNING unknown
"""
_COPY_REFS = """
INSERT INTO remote_ref (target, kind, key, remote_id, updated_at)
SELECT f.target, f.kind, :person, f.remote_id, :now FROM remote_ref f
WHERE f.target = :target AND f.key = :former AND f.kind LIKE '%:%'
ON CONFLICT (target, kind, key) DO NOTHING
"""
_DOUBT = "UPDATE delivery SET unknown = 1 WHERE target = :target AND kind = 'contact' AND key = :person"
_CAUSES = """
SELECT t.right_id, max(t.registration_id) AS registration_id FROM {rows} JOIN "grant" t ON t.right_id = r.id
WHERE t.superseded = 0 GROUP BY t.right_id
"""


def held(unit: Unit, ids: Iterable[int]) -> dict[int, Any]:
    """Return learners by id, whom nobody changes until the transaction ends."""
    wanted = [{"id": i} for i in sorted(set(ids))]
    statement = "SELECT l.* FROM {rows} JOIN learner l ON l.id = r.id ORDER BY l.id" + unit.holding("l")
    return {row.id: row for row in unit.each(statement, {"id": "int"}, wanted)}


def standing(unit: Unit, learner_id: int) -> Any | None:
    """Return the merge by which a learner became somebody else, or None."""
    found = unit.rows(_STANDING, id=learner_id)
    return found[0] if found else None


def was_merged(unit: Unit, learner_id: int) -> bool:
    """Say whether a learner was merged once, and it was undone."""
    return bool(unit.rows("SELECT 1 FROM learner_merge WHERE from_id = :id LIMIT 1", id=learner_id))


def join(unit: Unit, from_id: int, into_id: int, operator: str, now: int) -> list[int]:
    """Let one learner be another from now on; return the registrations that pass over, oldest first."""
    merge = int(unit.rows(_BEGIN, from_id=from_id, into_id=into_id, operator=operator, now=now)[0].id)
    unit.run(
        "UPDATE learner SET merged_into = :into, updated_at = :now WHERE id = :id", id=from_id, into=into_id, now=now
    )
    rows = unit.rows("SELECT id FROM registration WHERE learner_id = :id ORDER BY id", id=from_id)
    found = registrations.by_ids(unit, [row.id for row in rows])
    ids = [{"id": row.id} for row in found]
    unit.each(_KEEP, {"id": "int"}, ids, merge=merge)
    unit.each(_HAND_OVER, {"id": "int"}, ids, learner=into_id, mark=_mark(from_id))
    return [row.id for row in found]


def undo(unit: Unit, merge: Any, survivor: int, operator: str, now: int) -> list[int]:
    """Let a merged learner be somebody of their own again; return the registrations that pass back, oldest first."""
    unit.run(
        "UPDATE learner_merge SET undone_at = :now, undone_by = :operator WHERE id = :id",
        id=merge.id,
        operator=operator,
        now=now,
    )
    unit.run("UPDATE learner SET merged_into = NULL, updated_at = :now WHERE id = :id", id=merge.from_id, now=now)
    rows = unit.rows(_TO_GIVE_BACK, merge=merge.id, learner=survivor)
    found = registrations.by_ids(unit, [row.id for row in rows])
    ids = [{"id": row.id} for row in found]
    unit.each(_GIVEN_BACK, {"id": "int"}, ids, merge=merge.id)
    unit.each(_HAND_BACK, {"id": "int"}, ids, learner=merge.from_id, mark=_mark(merge.from_id))
    return [row.id for row in found]


def _mark(learner_id: int) -> str:
    return f" (learner {learner_id})"


def line_of(line: str, known: Known, *, keyed: bool) -> str:
    """Return the line under which a purchase of a person is kept: by the name it was made in, where no key tells it apart."""
    return line if keyed or known.via is None else f"{line}{_mark(known.via)}"


def sent_line(line: str) -> str:
    """Return the line as its sender wrote it."""
    return _MARK.sub("", line)


def beside(unit: Unit, ids: Sequence[int], learner_id: int) -> set[int]:
    """Return those of these purchases that their new owner has made as well; both stand."""
    rows = unit.each(_BESIDE, {"id": "int"}, [{"id": i} for i in ids], learner=learner_id)
    return {row.id for row in rows}


def passed_on(unit: Unit, ids: Sequence[int]) -> None:
    """Note that these registrations are somebody else's by their sender's word: no undoing gives them to whom they were."""
    unit.each(_PASSED_ON, {"id": "int"}, [{"id": i} for i in sorted(set(ids))])


def came_by(unit: Unit, bought: Iterable[tuple[Known, int]]) -> None:
    """Note the registrations that came under the name of a merged learner: they pass back with the others."""
    rows = [{"via": known.via, "registration_id": i} for known, i in bought if known.via is not None]
    unit.each(_KEEP_ON_THE_WAY, {"via": "int", "registration_id": "int"}, rows)


def bought_as(unit: Unit, found: Sequence[Any], known: Known) -> list[Any]:
    """Of one person's purchases return those that were made as the learner whom an event names, where there are any."""
    if len(found) < 2:  # nothing to choose from
        return list(found)
    return only_as(unit, found, known) or list(found)


def only_as(unit: Unit, found: Sequence[Any], known: Known) -> list[Any]:
    """Of one person's purchases return those that were made as the learner whom an event names, and no others."""
    as_whom = {row.id: row.learner_id for row in unit.each(_BOUGHT_AS, {"id": "int"}, [{"id": g.id} for g in found])}
    named = known.id if known.via is None else known.via
    return [row for row in found if (as_whom[row.id] or known.id) == named]


def made_by(unit: Unit, registration: Any) -> int:
    """Return the learner as whom a registration was made: whoever has it now, or one who was merged into them."""
    (row,) = unit.each(_BOUGHT_AS, {"id": "int"}, [{"id": registration.id}])
    return int(row.learner_id or registration.learner_id)


def contact_in_flight(unit: Unit, target: str, person: str) -> bool:
    """Say whether a target is just being told of a contact: what it answers belongs to the person as they were."""
    return bool(unit.rows(_IN_FLIGHT, target=target, person=person))


def hand_on(unit: Unit, ids: Sequence[int], target: str, person: str) -> list[int]:
    """Where both learners are one account, let its rights stand for whoever has the purchases now; return the rights."""
    rows = [{"id": i} for i in ids]
    return [row.id for row in unit.each(_NEXT_LEARNERS, {"id": "int"}, rows, target=target, person=person)]


def address_notices(unit: Unit, ids: Sequence[int], learner_id: int) -> None:
    """Let mails about these registrations that are not out yet go to whoever has the registrations now."""
    unit.each(_ADDRESS_NOTICES, {"id": "int"}, [{"id": i} for i in ids], learner=learner_id)


def rename_contact(
    unit: Unit, ids: Sequence[int], learner_id: int, target: str, former: str, person: str, now: int
) -> None:
    """Let CRM work that waits for these registrations be another contact's, which knows what was told of them."""
    names = {"target": target, "former": former, "person": person}
    unit.each(_RENAME_WAITING, {"id": "int"}, [{"id": i} for i in ids], **names, learner=learner_id)
    unit.run(_COPY_REFS, **names, now=now)


def end_contact(unit: Unit, target: str, former: str, now: int) -> bool:
    """End open work on a contact that nobody stands behind any more; say whether a try of it may have had its effect."""
    return any(row.unknown for row in unit.rows(_END_CONTACT, target=target, former=former, now=now))


def doubt_contact(unit: Unit, ids: Sequence[int], target: str, person: str) -> None:
    """Have the next try on a contact look first whether what it tells of these registrations was told before."""
    names = {"target": target, "person": person}
    unit.run(f"{_DOUBT} AND {UNSETTLED}", **names)
    waiting = f"{_DOUBT} AND state = 'waiting' AND registration_id IN (SELECT r.id FROM {{rows}})"
    unit.each(waiting, {"id": "int"}, [{"id": i} for i in ids], **names)


def known_ids(unit: Unit, target: str, person: str) -> dict[str, str]:
    """Return the remote ids of a person's own account or contact at a target."""
    statement = "SELECT kind, remote_id FROM remote_ref WHERE target = :target AND key = :person ORDER BY kind"
    rows = unit.rows(statement, target=target, person=person)
    return {row.kind: row.remote_id for row in rows if ":" not in row.kind and row.remote_id}


def rights_of(unit: Unit, ids: Iterable[int], now: int) -> dict[int, Any]:
    """Return rights by id, as they are wanted now."""
    return {row.id: row for row in derive_wanted(unit, ids, now)}


def causes(unit: Unit, right_ids: Iterable[int]) -> dict[int, int]:
    """Return for each right the newest registration that rests on it."""
    rows = unit.each(_CAUSES, {"id": "int"}, [{"id": i} for i in sorted(set(right_ids))])
    return {row.right_id: row.registration_id for row in rows}
