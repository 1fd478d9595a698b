"""Rights, the grants behind them, and the remote ids that targets gave.

A right is wanted while a live grant stands behind it, so access ends only with the last of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from bridge.ledger import formers
from bridge.ledger.insertion import Insertion
from bridge.ledger.unit import Unit


@dataclass(slots=True)
class GrantRow:
    """One course of a registration, and the right that carries it at one LMS; none where ``target`` is empty."""

    registration_id: int
    course: str
    expires_at: int | None
    full_access: bool
    learner_id: int
    target: str = ""
    person: str = ""
    course_key: str = ""
    course_table: str = ""

    @property
    def right(self) -> tuple[str, str, str]:
        """What the unique index of rights decides by."""
        return (self.target, self.person, self.course_key)


class Touched(NamedTuple):
    """A right as it is wanted after a change, and the registration that changed it."""

    right: Any
    registration_id: int


@dataclass(slots=True)
class Wanted:
    """A right that was just made, as far as whoever gave it needs to know it; ``id`` is 0 until it is made."""

    id: int
    target: str
    person: str
    course_key: str
    course: str
    learner_id: int
    held: str


@dataclass(frozen=True, slots=True)
class Given:
    """What came of giving.

    Attributes:
        behind: the rights (id, target, person, course_key, held) of each registration.
        lost: rights that a registration rested on before and does not any more.
    """

    behind: dict[int, list[Any]]
    lost: list[Touched]


_WANT = """
INSERT INTO "right" (target, person, course_key, course, learner_id, wanted, created_at, updated_at)
SELECT target, person, course_key, course, learner_id, 1, :now, :now FROM {rows} WHERE true ORDER BY r.target, r.person, r.course_key
ON CONFLICT (target, person, course_key)
DO UPDATE SET wanted = 1, learner_id = excluded.learner_id, updated_at = excluded.updated_at
RETURNING id, target, person, course_key, learner_id, held
"""
_WANT_COLUMNS = {"target": "text", "person": "text", "course_key": "text", "course": "text", "learner_id": "int"}
_INSERT_RIGHT = Insertion("right", _WANT_COLUMNS, computed={"wanted": "1", "created_at": ":now", "updated_at": ":now"})
# A grant that lives is only ever widened here: no end is later than any end, and NULL is no end.
_WIDEN = """
ON CONFLICT (registration_id, course, coalesce(right_id, 0))
DO UPDATE SET live = 1, superseded = 0,
 expires_at = (CASE WHEN "grant".live = 0 OR "grant".expires_at < excluded.expires_at OR excluded.expires_at IS NULL
  THEN excluded.expires_at ELSE "grant".expires_at END),
 full_access = (CASE WHEN "grant".live = 0 OR excluded.full_access = 1 THEN excluded.full_access ELSE "grant".full_access END)
"""
_GRANT = f"""
INSERT INTO "grant" (registration_id, course, right_id, live, expires_at, full_access)
SELECT registration_id, course, right_id, 1, expires_at, full_access FROM {{rows}} WHERE true ORDER BY r.registration_id
{_WIDEN} RETURNING id
"""
_GRANT_COLUMNS = {
    "registration_id": "int",
    "course": "text",
    "right_id": "int",
    "expires_at": "int",
    "full_access": "int",
}
_INSERT_GRANT = Insertion("grant", _GRANT_COLUMNS, computed={"live": "1"}, conflict=_WIDEN)
_END = """
UPDATE "grant" SET live = 0 WHERE live = 1 AND registration_id IN (SELECT r.id FROM {rows}) RETURNING right_id, registration_id
"""
_RESUME = """
UPDATE "grant" SET live = 1 WHERE live = 0 AND superseded = 0 AND registration_id IN (SELECT r.id FROM {rows})
RETURNING right_id, registration_id
"""
_STANDING = """
SELECT t.id FROM {rows} JOIN "grant" t ON t.registration_id = r.id WHERE t.superseded = 0
"""
_SUPERSEDE = """
UPDATE "grant" SET live = 0, superseded = 1 WHERE id IN (SELECT r.id FROM {rows}) RETURNING right_id, registration_id
"""
_DERIVE = """
UPDATE "right" SET wanted = (CASE WHEN EXISTS (SELECT 1 FROM "grant" g WHERE g.right_id = "right".id AND g.live = 1) THEN 1 ELSE 0 END),
 updated_at = :now
WHERE id IN (SELECT r.id FROM {rows}) RETURNING *
"""
_BEHIND = """
SELECT DISTINCT g.registration_id FROM {rows} JOIN "grant" g ON g.right_id = r.id
"""
_RESTING = """
SELECT DISTINCT w.* FROM {rows} JOIN "grant" t ON t.registration_id = r.id AND (t.superseded = 0 OR :former = 1)
JOIN "right" w ON w.id = t.right_id ORDER BY w.id
"""
_HELD = """
UPDATE "right" SET held = r.held, held_as = r.held_as, held_at = :now, updated_at = :now FROM {rows} WHERE "right".id = r.id
"""
_REFS = Insertion(
    "remote_ref",
    {"target": "text", "kind": "text", "key": "text", "remote_id": "text"},
    computed={"updated_at": ":now"},
    conflict="ON CONFLICT (target, kind, key) DO UPDATE SET remote_id = excluded.remote_id, updated_at = excluded.updated_at",
)


def give(unit: Unit, rows: Sequence[GrantRow], renewed: Collection[int], now: int) -> Given:
    """Put grants behind rights, making rights that are new.

    For ``renewed`` registrations the rows are all they have from now on: whatever else they rested on is superseded.
    """
    rights = {(right.target, right.person, right.course_key): right for right in _want(unit, rows, now)}
    behind: dict[int, list[Any]] = {}
    grants = {}
    for row in rows:
        right = rights[row.right] if row.target else None
        found = behind.setdefault(row.registration_id, [])
        if right is not None and right not in found:
            found.append(right)
        right_id = right.id if right is not None else None
        grants[row.registration_id, row.course, right_id] = {
            "registration_id": row.registration_id,
            "course": row.course,
            "right_id": right_id,
            "expires_at": row.expires_at,
            "full_access": int(row.full_access),
        }
    rest = sorted(grants.values(), key=itemgetter("registration_id"))
    if not renewed:
        unit.put(_INSERT_GRANT, rest)
        return Given(behind, [])
    given = unit.each(_GRANT, _GRANT_COLUMNS, rest)
    return Given(behind, _supersede(unit, renewed, {row.id for row in given}, now))


def _want(unit: Unit, rows: Sequence[GrantRow], now: int) -> Sequence[Any]:
    wanted = {row.right: row for row in rows if row.target}
    new = [Wanted(0, t, p, c, row.course_table, row.learner_id, "no") for (t, p, c), row in sorted(wanted.items())]
    ids = unit.insert(_INSERT_RIGHT, new, now=now)
    there = [right for i, right in zip(ids, new, strict=True) if i is None]
    made = []
    for right, right_id in zip(new, ids, strict=True):
        if right_id is not None:
            right.id = right_id
            made.append(right)
    return [*made, *unit.each(_WANT, _WANT_COLUMNS, there, now=now)]


def _supersede(unit: Unit, renewed: Collection[int], kept: Collection[int], now: int) -> list[Touched]:
    standing = unit.each(_STANDING, {"id": "int"}, [{"id": i} for i in sorted(renewed)])
    former = [{"id": row.id} for row in standing if row.id not in kept]
    return _judged(unit, unit.each(_SUPERSEDE, {"id": "int"}, former), now)


def end(unit: Unit, registration_ids: Iterable[int], now: int) -> list[Touched]:
    """End every live grant of these registrations; return the rights concerned, as they are wanted after it."""
    return _judged(unit, unit.each(_END, {"id": "int"}, [{"id": i} for i in sorted(set(registration_ids))]), now)


def resume(unit: Unit, registration_ids: Iterable[int], now: int) -> list[Touched]:
    """Let the grants of these registrations live again; return the rights concerned, as they are wanted after it.

    What another mapping or address has superseded stays ended.
    """
    return _judged(unit, unit.each(_RESUME, {"id": "int"}, [{"id": i} for i in sorted(set(registration_ids))]), now)


def _judged(unit: Unit, grants: Sequence[Any], now: int) -> list[Touched]:
    cause = {row.right_id: row.registration_id for row in grants if row.right_id is not None}
    return [Touched(right, cause[right.id]) for right in derive_wanted(unit, cause, now)]


def derive_wanted(unit: Unit, right_ids: Iterable[int], now: int) -> list[Any]:
    """Derive again which of these rights are wanted; return them."""
    ids = sorted(set(right_ids))
    unit.hold("right", ids)
    return list(unit.each(_DERIVE, {"id": "int"}, [{"id": i} for i in ids], now=now))


def resting(unit: Unit, registration_ids: Iterable[int], *, former: bool = False) -> list[Any]:
    """Return the rights that registrations rest on, live or ended; with ``former`` also those of superseded grants."""
    rows = [{"id": i} for i in sorted(set(registration_ids))]
    return list(unit.each(_RESTING, {"id": "int"}, rows, former=int(former)))


def of_learner(unit: Unit, learner_id: int) -> list[Any]:
    """Return the rights that stand for one local learner's registrations."""
    return list(
        unit.rows(
            'SELECT DISTINCT w.* FROM registration g JOIN "grant" t ON t.registration_id = g.id JOIN "right" w ON w.id = t.right_id'
            " WHERE g.learner_id = :learner AND t.live = 1 ORDER BY w.id",
            learner=learner_id,
        )
    )


def of_person(unit: Unit, target: str, person: str) -> list[Any]:
    """Return the rights of a person at a target, wanted or not."""
    statement = 'SELECT w.* FROM "right" w WHERE w.target = :target AND w.person = :person ORDER BY w.id'
    return list(unit.rows(statement, target=target, person=person))


def hold(unit: Unit, right_ids: Iterable[int]) -> None:
    """Hold the registrations behind these rights, then the rights (see :meth:`Unit.holding`)."""
    if unit.dialect.many_writers:
        ids = set(right_ids)
        unit.hold("registration", registrations_behind(unit, ids))
        unit.hold("right", ids)


def registrations_behind(unit: Unit, right_ids: Iterable[int]) -> list[int]:
    """Return the registrations, live or ended, that rest on these rights."""
    rows = unit.each(_BEHIND, {"id": "int"}, [{"id": i} for i in sorted(set(right_ids))])
    return [row.registration_id for row in rows]


def confirm(unit: Unit, held: Sequence[tuple[int, str, str]], now: int) -> None:
    """Keep what targets confirmed: (right id, ``yes``/``no``/``unknown``, fingerprint)."""
    rows = [{"id": i, "held": state, "held_as": fingerprint} for i, state, fingerprint in held]
    unit.each(_HELD, {"id": "int", "held": "text", "held_as": "text"}, rows, now=now)


def keep_refs(unit: Unit, refs: Iterable[tuple[str, str, str, str]], now: int) -> None:
    """Keep remote ids: (target, kind, key, remote id); the newest of one key counts."""
    latest = {(target, kind, key): remote_id for target, kind, key, remote_id in refs}
    earlier = [
        (target, key, names) for (target, kind, key), names in latest.items() if kind == formers.FORMER and names
    ]
    latest |= {(target, kind, key): right for target, kind, key, right in formers.marks(earlier)}
    rows = [{"target": t, "kind": k, "key": key, "remote_id": remote} for (t, k, key), remote in sorted(latest.items())]
    unit.put(_REFS, rows, now=now)
