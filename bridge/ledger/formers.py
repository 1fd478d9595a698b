"""Earlier addresses at which a target that knows people by e-mail still holds a right, and whose access that is by now.

Two people may hold one course at one address: who moved away from it and whose account may still have it, and who has it
now. Access there ends with the last of the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from bridge.contract.command import email_key
from bridge.ledger.unit import Unit

FORMER = "former"
SHARED = "shared"
_TAKEN_OVER = """
SELECT w.person, w.course_key FROM {rows} JOIN "right" w ON w.target = :target AND w.person = r.person AND w.course_key = r.course_key
WHERE w.wanted = 1
"""
_STILL_HELD = """
SELECT r.key, r.person, f.remote_id AS names FROM {rows}
JOIN remote_ref m ON m.target = :target AND m.key = r.place
JOIN "right" w ON w.id = CAST(substr(m.remote_id, 7) AS BIGINT) AND w.wanted = 1 AND w.course_key = r.course_key
JOIN remote_ref f ON f.target = :target AND f.key = m.remote_id AND f.kind = 'former'
"""


def marks(refs: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str, str, str]]:
    """Yield refs by which a right is found by each of its earlier addresses: (target, kind, key, remote id).

    They stay when the right has left an address: what its own ref says counts.

    Args:
        refs: of rights' refs ``former``: target, key, addresses.
    """
    for target, key, names in refs:
        for name in filter(None, names.split(",")):
            yield target, key, _place(_person(name)), key


def judged(
    unit: Unit, target: str, ended: Sequence[tuple[str, Any]], refs: Mapping[str, Collection[Any]], *, by_email: bool
) -> dict[str, list[Any]]:
    """Return the refs of rights that end as they are to be looked at now, by their keys, as far as they differ.

    Of ``former``, those addresses are left out at which somebody else is to hold the same course by now. Where a right's own
    address is an earlier one of somebody who is to hold the course, it stands under ``shared``.

    Args:
        unit: the transaction.
        target: of all of them.
        ended: keys and rows of the rights.
        refs: what is known of rights by their keys.
        by_email: whether the target knows people by e-mail.
    """
    if not by_email or not ended:
        return {}
    left, shared = _left(unit, target, ended, refs), _shared(unit, target, ended)
    return {key: [*left.get(key, refs.get(key, ())), *shared.get(key, ())] for key in {*left, *shared}}


def _left(
    unit: Unit, target: str, ended: Sequence[tuple[str, Any]], refs: Mapping[str, Collection[Any]]
) -> dict[str, list[Any]]:
    kept = [(key, ref, right.course_key) for key, right in ended for ref in refs.get(key, ()) if _names(ref)]
    if not kept:
        return {}
    asked = [{"person": _person(name), "course_key": course} for _, ref, course in kept for name in _names(ref)]
    taken = unit.each(_TAKEN_OVER, {"person": "text", "course_key": "text"}, asked, target=target)
    theirs = {(row.person, row.course_key) for row in taken}
    found = {}
    for key, ref, course in kept:
        names = [name for name in _names(ref) if (_person(name), course) not in theirs]
        others = [one for one in refs[key] if one is not ref]
        found[key] = [*others, SimpleNamespace(kind=FORMER, key=key, remote_id=",".join(names))]
    return found


def _shared(unit: Unit, target: str, ended: Sequence[tuple[str, Any]]) -> dict[str, list[Any]]:
    asked = [
        {"key": key, "person": right.person, "place": _place(right.person), "course_key": right.course_key}
        for key, right in ended
    ]
    columns = dict.fromkeys(("key", "person", "place", "course_key"), "text")
    return {
        row.key: [SimpleNamespace(kind=SHARED, key=row.key, remote_id=row.person.removeprefix("email:"))]
        for row in unit.each(_STILL_HELD, columns, asked, target=target)
        if row.person in map(_person, row.names.split(","))
    }


def _names(ref: Any) -> list[str]:
    return ref.remote_id.split(",") if ref.kind == FORMER and ref.remote_id else []


def _person(name: str) -> str:
    return f"email:{email_key(name)}"


def _place(person: str) -> str:
    return f"{FORMER}:{person}"
