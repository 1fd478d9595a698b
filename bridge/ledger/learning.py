"""How far learners are in their courses, as an LMS told: one row for each course of a registration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from bridge.ledger.claimed import OPENED_AT
from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class Told:
    """What one event says of one course. Milliseconds; None is what it says nothing of.

    Attributes:
        expired_at: when we heard of it, so that it can be told from a later opening.
    """

    registration_id: int
    course: str
    percent: int | None = None
    percent_at: int | None = None
    started_at: int | None = None
    completed_at: int | None = None
    expired_at: int | None = None


_COLUMNS = {
    "registration_id": "int",
    "course": "text",
    "percent": "int",
    "percent_at": "int",
    "started_at": "int",
    "completed_at": "int",
    "expired_at": "int",
}
_NAMES = ", ".join(_COLUMNS)
_TIMES = ("percent_at", "started_at", "completed_at", "expired_at")
_FIRST = ("started_at", "completed_at")
_NEWER = (
    "(coalesce(course_progress.percent_at, -1) < coalesce(excluded.percent_at, -1)"
    " AND coalesce(course_progress.percent, -1) <> excluded.percent)"
)
_EARLIER = {
    name: f"(excluded.{name} IS NOT NULL AND excluded.{name} < coalesce(course_progress.{name}, {2**63 - 1}))"
    for name in _FIRST
}
# An end that was told before the registration was opened anew is over, and makes room for the next one.
_ENDED = f"""(excluded.expired_at IS NOT NULL AND coalesce(course_progress.expired_at, -1) < coalesce({
    OPENED_AT.format(registration="course_progress.registration_id")
}, 0))"""
# What happened once keeps its first time; of two percentages the newer one counts, whatever the order of arrival.
_NOTE = f"""
INSERT INTO course_progress ({_NAMES}) SELECT {_NAMES} FROM {{rows}} WHERE true ORDER BY r.registration_id, r.course
ON CONFLICT (registration_id, course) DO UPDATE SET
 percent = (CASE WHEN {_NEWER} THEN excluded.percent ELSE course_progress.percent END),
 percent_at = (CASE WHEN {_NEWER} THEN excluded.percent_at ELSE course_progress.percent_at END),
 {", ".join(f"{name} = (CASE WHEN {sooner} THEN excluded.{name} ELSE course_progress.{name} END)" for name, sooner in _EARLIER.items())},
 expired_at = (CASE WHEN {_ENDED} THEN excluded.expired_at ELSE course_progress.expired_at END)
WHERE {" OR ".join([_NEWER, *_EARLIER.values(), _ENDED])}
RETURNING registration_id, course, percent_at, started_at, completed_at, expired_at
"""
# The same percentage again is news to nobody; but an older one that arrives after it must not undo it.
_CONFIRM = """
UPDATE course_progress SET percent_at = r.percent_at FROM {rows}
WHERE course_progress.registration_id = r.registration_id AND course_progress.course = r.course
 AND course_progress.percent = r.percent AND course_progress.percent_at < r.percent_at
"""
_BY_RIGHT = """
SELECT DISTINCT t.registration_id, t.course FROM {rows} JOIN "grant" t ON t.right_id = r.id WHERE t.superseded = 0
ORDER BY t.registration_id, t.course
"""
_BY_REGISTRATION = """
SELECT DISTINCT t.registration_id, t.course FROM {rows} JOIN "grant" t ON t.registration_id = r.id WHERE t.superseded = 0
ORDER BY t.registration_id, t.course
"""


def note(unit: Unit, told: Sequence[Told]) -> dict[int, set[str]]:
    """Keep what was told; return the registrations of which something is new, with the names of the times that are."""
    rows = [asdict(one) for one in told]
    said = {(one.registration_id, one.course): one for one in told}
    new: dict[int, set[str]] = {}
    for row in unit.each(_NOTE, _COLUMNS, rows):
        brought = said[row.registration_id, row.course]
        times = {name for name in _TIMES if getattr(row, name) == getattr(brought, name) is not None}
        new.setdefault(row.registration_id, set()).update(times)
    unit.each(_CONFIRM, _COLUMNS, rows)
    return new


def by_rights(unit: Unit, right_ids: Iterable[int]) -> list[tuple[int, str]]:
    """Return the registrations and courses that rest on these rights."""
    rows = unit.each(_BY_RIGHT, {"id": "int"}, [{"id": i} for i in sorted(set(right_ids))])
    return [(row.registration_id, row.course) for row in rows]


def by_registrations(unit: Unit, ids: Iterable[int]) -> list[tuple[int, str]]:
    """Return the courses of these registrations, with them."""
    rows = unit.each(_BY_REGISTRATION, {"id": "int"}, [{"id": i} for i in sorted(set(ids))])
    return [(row.registration_id, row.course) for row in rows]
