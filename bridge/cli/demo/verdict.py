"""Whether every target holds what it should: nobody missing, nothing twice, nobody in who should not be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.kit.sandbox import Holding

_MARKS: Mapping[str, re.Pattern[str]] = {
    "hubspot": re.compile(r"last_course_state=(\w*)"),
    "mailchimp": re.compile(r"tags: ([^;]*)"),
}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One person at one target: in a course there, or known as a contact with a mark."""

    person: str
    target: str
    what: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where a target holds something else than it should."""

    kind: Literal["missing", "twice", "too much"]
    place: Place

    def __str__(self) -> str:
        """Say it in one line."""
        place = self.place
        told = {"missing": "is missing", "twice": "is there twice", "too much": "should not be there"}[self.kind]
        return f"{place.person} at {place.target}: {place.what} {told}"


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, whether it was kept, and where it was not."""

    promise: str
    faults: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.faults


def mark(target: str, holding: Holding) -> str:
    """Return what counts of a holding: the remote course, the mailing tags, or the contact's course state."""
    if holding.kind == "enrollment":
        return holding.what
    if target not in _MARKS:
        return "contact"
    found = _MARKS[target].search(holding.what)
    marks = sorted(part.strip() for part in found[1].split(",")) if found else []
    return ", ".join(part for part in marks if part) or ("no tags" if target == "mailchimp" else "no state")


def places(holdings: Mapping[str, Sequence[Holding]]) -> list[Place]:
    """Return what is live at the targets; access that was taken away does not count."""
    return [
        Place(held.person.lower(), target, mark(target, held))
        for target, rows in holdings.items()
        for held in rows
        if held.live
    ]


def differences(should: Iterable[Place], held: Iterable[Place]) -> list[Difference]:
    """Compare, place by place and with their number; return nothing when the targets hold exactly what they should."""
    wanted, there = Counter(should), Counter(held)
    found: list[Difference] = []
    for place in sorted(wanted | there):
        if there[place] < wanted[place]:
            found.append(Difference("missing", place))
        elif there[place] > wanted[place]:
            found.append(Difference("twice" if wanted[place] else "too much", place))
    return found


def about_holdings(
    found: Sequence[Difference], should: Sequence[Place], out: str, back: str, nowhere: Sequence[str]
) -> list[Check]:
    """Return the promises about what the targets hold.

    Args:
        found: where they differ.
        should: what they should hold, to say how much that is.
        out: e-mail of who cancelled.
        back: e-mail of who bought again.
        nowhere: e-mails of those whom no target should know.
    """
    rights = sum(place.target in ("academy", "elevate") for place in should)
    people = len({place.person for place in should})
    return [
        _check(
            f"nobody is missing: {rights} enrollments and {len(should) - rights} contacts of {people} people",
            (one for one in found if one.kind == "missing"),
        ),
        _check("nothing is there twice", (one for one in found if one.kind == "twice")),
        _check("nothing is there that should not be", (one for one in found if one.kind == "too much")),
        _check(
            f"{out} cancelled and is out", (one for one in found if one.place.person == out and one.kind != "missing")
        ),
        _check(f"{back} bought again and is in, once", (one for one in found if one.place.person == back)),
        _check(
            "the unmapped product and the wrong key reached no target",
            (one for one in found if one.place.person in nowhere),
        ),
    ]


def _check(promise: str, against: Iterable[Difference]) -> Check:
    return Check(promise, tuple(str(one) for one in against))
