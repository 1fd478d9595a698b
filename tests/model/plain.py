"""The plain model: what DESIGN.md (sections 4 to 7) and docs/flow.md say that should be so, in dicts. No ledger, no lanes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

DAY = 24 * 60
HOUR = 60
ORDER_OF_INTENTS = ("live", "suspended", "expired", "cancelled")
COURSES = {
    "ONE": ("one",),
    "TWO": ("two",),
    "TWIN": ("twin",),
    "BOTH": ("one", "two"),
    "YEAR": ("year",),
    "MIX": ("one", "year"),
    "NEW": ("new",),
}
REMOTE = {"one": "R1", "twin": "R1", "two": "R2", "year": "R3", "new": "R4"}
LASTS = {"year": 10 * DAY}
SCOPE = {"ams": "ams", "store": "store", "shop": "shop", "pay": "shop"}
NAMESPACE = {"ams": "members", "store": "shop", "shop": "shop", "pay": "shop"}

Action = Literal["enroll", "cancel", "refund", "suspend", "resume", "update"]
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Who:
    """A person as an event names them."""

    email: str
    number: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One event. Times in minutes; ``place`` is the registration that a caller names by our id.

    Of a refund and of the failure of one: ``ref`` is which, and ``earlier`` how long before that it was made.
    """

    source: str
    action: Action
    at: int = 0
    key: str | None = None
    order: str | None = None
    who: Who | None = None
    products: tuple[str, ...] = ()
    full: bool = True
    pending: bool = False
    undoes: str = "holds"
    ref: str | None = None
    earlier: int | None = None
    place: Place | None = field(default=None, compare=False)

    @property
    def made(self) -> int | None:
        """When the refund was made that is told of: one of a line then, and of one that failed where it is said."""
        if self.earlier is not None:
            return self.at - self.earlier
        return self.at if self.action == "refund" and self.products and not self.full else None


@dataclass(slots=True)
class Learner:
    """Somebody, as the sender said last."""

    email: str
    number: str | None
    name: str
    at: int


@dataclass(slots=True, eq=False)
class Place:
    """One order line. ``ends``: of each course, when it ends; ``open``: the courses that are granted now.

    ``said``: all that was said of it, where it has an order. ``waits``: what was bought, of one that was taken back before its
    product was mapped.
    """

    source: str
    product: str
    learner: Key
    order: str | None
    intent: str
    at: int
    taken_by: str = ""
    bare: bool = False
    followed: bool = False
    ends: dict[str, int | None] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    number: int | None = None
    said: list[Told] = field(default_factory=list)
    waits: Told | None = None

    @property
    def alive(self) -> bool:
        return self.intent in ("live", "suspended")

    @property
    def weight(self) -> tuple[int, int]:
        return self.at, ORDER_OF_INTENTS.index(self.intent)

    def judged(self) -> str:
        """Return what it is by all that was said of it, in the order in which it happened."""
        taken = [told for told in self.said if told.action in ("cancel", "refund")]
        if any(not self.is_undone(told) for told in taken):
            return "cancelled"
        return (
            "suspended" if any(not self.is_undone(told) for told in self.said if told.action == "suspend") else "live"
        )

    def is_undone(self, told: Told) -> bool:
        """Say whether something that was said takes this back again."""
        return any(_undoes(other, told) for other in self.said)


def _undoes(other: Told, told: Told) -> bool:
    if other.action == "enroll":
        return other.at > told.at
    if other.action != "resume":
        return False
    if told.action == "refund":
        return other.undoes != "holds" and _may_be_of(other, told)
    return other.undoes != "refunds" and other.at > told.at


def _may_be_of(failure: Told, refund: Told) -> bool:
    if refund.at > failure.at:
        return False
    if failure.source == refund.source and failure.ref and refund.ref:
        return failure.ref == refund.ref
    if failure.made is None or refund.made is None:
        return True
    return failure.made - HOUR <= refund.made <= failure.made + HOUR


class Model:
    """Who should be in what, and what waits."""

    def __init__(self) -> None:
        self.mapped = False
        self.learners: dict[Key, Learner] = {}
        self.places: list[Place] = []
        self.quarantine: dict[tuple[str, Key, str, str | None], Told] = {}
        self.parked: list[Told] = []
        self.beside: list[Told] = []  # those of them that wait with a line, and not for their purchase
        self.heard: set[tuple[str, str]] = set()
        self.gone: dict[tuple[str, str, str], int] = {}
        self.known_at: dict[str, dict[Key, set[str]]] = {}

    def hear(self, told: Told, failed: frozenset[int] = frozenset()) -> None:
        """Take an event in. ``failed``: numbers of the registrations that wait for an operator now."""
        if told.key is not None and (told.source, told.key) in self.heard:
            return
        if told.key is not None:
            self.heard.add((told.source, told.key))
        if told.action == "update":
            self._learn(told)
        elif told.action == "enroll":
            self._buy(told, failed)
        elif not self._change(told) and told.order is not None and not told.pending:
            self.parked.append(told)

    def expire(self, now: int) -> None:
        """Let time end what is over."""
        for place in self.places:
            over = {course for course in place.open if (end := place.ends[course]) is not None and end <= now}
            place.open -= over
            if over and place.intent == "live" and not place.open:
                place.intent = "expired"

    def release(self, failed: frozenset[int] = frozenset()) -> None:
        """Accept what waits for a mapping, if there is one now."""
        if not self.mapped:
            return
        waiting, self.quarantine = list(self.quarantine.values()), {}
        for told in waiting:
            key = key_of(told)
            if self.gone.get((told.source, told.order or "", "NEW"), told.at - 1) >= told.at:
                continue
            newer = [
                place
                for place in self.places
                if place.product == "NEW"
                and place.at > told.at
                and self._is_of(place, told, key)
                and not (place.bare and place.alive)
            ]
            if not newer:
                self._buy(replace(told, products=("NEW",)), failed, late=True)

    def access(self) -> set[tuple[str, str]]:
        """Return who is in what at the LMS."""
        return {(self.person(place), REMOTE[course]) for place in self.places for course in place.open}

    def person(self, place: Place) -> str:
        """Return the person as the LMS knows them."""
        learner = self.learners[place.learner]
        return learner.number or learner.email

    def states(self) -> list[tuple[str, str, str, str]]:
        """Return (person, product, order, state) of every registration once nothing is left to do."""
        return sorted(
            (self.person(place), place.product, place.order or "", "active" if place.intent == "live" else place.intent)
            for place in self.places
            if not place.bare
        )

    def contacts(self) -> dict[str, set[str]]:
        """Return the addresses that CRMs have to know, each with the first names that may stand there.

        Nobody says whose name it is where several people had one address.
        """
        found: dict[str, set[str]] = {}
        for learner in [self.learners[place.learner] for place in self.places if place.followed]:
            here = self.known_at[learner.email].values()
            found[learner.email] = {learner.name} if len(here) == 1 else {name for names in here for name in names}
        return found

    def _learn(self, told: Told, *, late: bool = False) -> Key:
        assert told.who is not None
        key, who = key_of(told), told.who
        known = self.learners.get(key)
        if known is None:
            known = self.learners[key] = Learner(who.email, who.number, who.name, told.at)
        dated = late or told.key is not None or told.order is not None
        if dated and told.at < known.at:
            known.name = known.name or who.name
        else:
            known.email, known.name = who.email, who.name or known.name
            known.at = max(known.at, told.at)
        self.known_at.setdefault(known.email, {}).setdefault(key, set()).add(known.name)
        return key

    def _buy(self, told: Told, failed: frozenset[int], *, late: bool = False) -> None:
        unmapped = [product for product in told.products if product == "NEW" and not self.mapped]
        for product in unmapped:
            waits = (told.source, key_of(told), product, told.order)
            if (before := self.quarantine.get(waits)) is None or told.at >= before.at:
                self.quarantine[waits] = told
        if lines := [product for product in told.products if product not in unmapped]:
            key = self._learn(told, late=late)
            for product in lines:
                self._open(told, key, product, failed)
            self._apply_parked(told)

    def _open(self, told: Told, key: Key, product: str, failed: frozenset[int]) -> None:
        ends = {course: told.at + LASTS[course] if course in LASTS else None for course in COURSES[product]}
        place = self._find(told, key, product)
        if place is None:
            place = Place(told.source, product, key, told.order, "live", told.at, followed=True, said=[told])
            self.places.append(place)
            self._give(place, ends)
            return
        keyed = told.order is not None
        newer = told.at > place.at
        place.said.append(told)
        moved = (
            place.learner != key
            and place.source == told.source
            and newer
            and self.learners[place.learner].email != self.learners[key].email
        )
        if place.intent != "live" or place.bare:
            dated = keyed and place.intent != "expired"
            judged = place.judged() if dated else "live"
            back = (not keyed or (told.at, 0) > place.weight) if not dated else judged != "cancelled"
            back = back and (place.intent, judged) != ("suspended", "suspended")
            if not back and not place.bare:
                return
            place.bare, place.at = False, max(place.at, told.at)
            place.ends |= ends
            if back:
                place.followed = True
                place.learner = key if moved else place.learner
                place.intent = judged
            if back and judged == "live":
                self._give(place, ends)
            return
        runs_out = any(end is not None for end in ends.values())
        renewed = not keyed and runs_out and told.at - place.at > DAY
        if moved:
            place.learner = key
        if moved or renewed or place.number in failed:
            self._give(place, ends)
            place.at = max(place.at, told.at)
        elif keyed:
            place.at = max(place.at, told.at)

    def _give(self, place: Place, ends: dict[str, int | None]) -> None:
        for course, end in ends.items():
            had = place.ends.get(course)
            stands = course in place.open
            place.ends[course] = max(had, end) if stands and had is not None and end is not None else end
            place.open.add(course)

    def _find(self, told: Told, key: Key, product: str) -> Place | None:
        for place in self.places:
            if place.product == product and self._is_of(place, told, key) and (told.order is not None or place.alive):
                return place
        return None

    def _is_of(self, place: Place, told: Told, key: Key) -> bool:
        if told.order is not None:
            return place.order == told.order and SCOPE[place.source] == SCOPE[told.source]
        return place.order is None and place.source == told.source and place.learner == key

    def _change(self, told: Told) -> bool:
        """Apply what is no purchase; return False where nothing is known that it could concern."""
        found, missing, known = self._concerned(told)
        if told.pending or (told.action == "refund" and not told.full and not told.products):
            return True
        made = False
        if told.action in ("cancel", "refund"):
            unnamed = SCOPE[told.source] == "shop" and "NEW" in missing and not self.mapped
            if missing and told.order is not None and told.who is not None and not unnamed:
                key = self._learn(told)
                taken = "refunded" if told.action == "refund" else "cancelled"
                for product in missing:
                    place = Place(told.source, product, key, told.order, "cancelled", told.at, taken, bare=True)
                    place.said.append(told)
                    self.places.append(place)
                made = True
        known |= self._reach_waiting(told)
        for place in found:
            self._set(place, told)
        return known or made or bool(found)

    def _concerned(self, told: Told) -> tuple[list[Place], list[str], bool]:
        if told.place is not None:
            return [told.place], [], True
        if told.order is not None:
            known = [p for p in self.places if p.order == told.order and SCOPE[p.source] == SCOPE[told.source]]
        else:
            key = key_of(told)
            known = [p for p in self.places if p.source == told.source and p.learner == key and p.alive]
        there = {place.product for place in known}
        missing = [product for product in told.products if product not in there]
        found = [place for place in known if not told.products or place.product in told.products]
        return found, missing, bool(known)

    def _reach_waiting(self, told: Told) -> bool:
        """Let a change reach the lines that wait: it ends their wait, or waits with them."""
        ended, beside, takes = [], False, told.action in ("cancel", "refund")
        for waits, line in self.quarantine.items():
            source, key, product, order = waits
            if told.place is not None or (told.products and product not in told.products) or order != told.order:
                continue
            joined = order is not None and SCOPE[source] == SCOPE[told.source] == "shop"
            if not joined and (source != told.source or (order is None and (key != key_of(told) or not takes))):
                continue
            if joined or not takes:
                beside = True
                continue
            if order is None or line.at <= told.at:
                ended.append(waits)
            if order is not None and line.at <= told.at:
                self.gone[source, order, product] = told.at
        for waits in ended:
            self._take_back_waiting(told, self.quarantine.pop(waits))
        if beside:
            self.beside.append(replace(told, products=("NEW",)))
            self.parked.append(self.beside[-1])
        return beside or bool(ended)

    def _take_back_waiting(self, told: Told, line: Told) -> None:
        """Keep that a line is taken back before its product is mapped: should that be undone, it waits again."""
        if line.order is None:
            return
        key = self._learn(line, late=True)
        place = self._find(replace(line, products=("NEW",)), key, "NEW")
        if place is None:
            taken = "refunded" if told.action == "refund" else "cancelled"
            place = Place(line.source, "NEW", key, line.order, "cancelled", told.at, taken, bare=True)
            place.said.append(told)
            self.places.append(place)
        place.waits = line
        beside = [one for one in self.parked if any(one is other for other in self.beside)]
        beside = [one for one in beside if (one.order, one.source) == (line.order, line.source)]
        place.said += beside
        self.parked = [one for one in self.parked if one not in beside]

    def _apply_parked(self, told: Told) -> None:
        if told.order is None:
            return
        for early in sorted(self.parked, key=lambda one: one.at):
            same = early.order == told.order and SCOPE[early.source] == SCOPE[told.source]
            if same and early in self.parked and early.at >= told.at and self._change(early):
                self.parked.remove(early)

    def _set(self, place: Place, told: Told) -> None:
        intent = {"resume": "live", "suspend": "suspended"}.get(told.action, "cancelled")
        taken = {"refund": "refunded", "cancel": "cancelled"}.get(told.action, "")
        keyed, kept = place.order is not None, place.intent
        place.said.append(told)
        if keyed and kept != "expired":
            becomes = place.judged()
            if becomes == kept and (kept != intent or (taken == "refunded" and place.is_undone(told))):
                return
        else:
            becomes = intent
            if self._stays(place, told):
                return
            if kept != intent and not place.alive and (intent == "suspended" or self._replaced(place)):
                return
            if keyed and (told.at, ORDER_OF_INTENTS.index(intent)) <= place.weight:
                return
        place.at = max(place.at, told.at) if keyed else told.at if becomes != kept else place.at
        place.taken_by = (taken or place.taken_by) if becomes != kept or taken == "refunded" else place.taken_by
        if becomes == kept:
            return
        place.intent = becomes
        place.open = set(place.ends) if becomes == "live" and not place.bare else set()
        if place.alive and place.bare and place.waits is not None:
            waits = (place.source, key_of(place.waits), "NEW", place.order)
            self.quarantine.setdefault(waits, place.waits)
            self.gone.pop((place.source, place.order or "", "NEW"), None)
            place.waits = None

    def _stays(self, place: Place, told: Told) -> bool:
        """Say whether what took a line back is not what a resumption undoes."""
        if told.action != "resume" or place.intent == "live" or told.undoes == "all":
            return False
        if place.intent == "suspended":
            return told.undoes == "refunds"
        return (place.taken_by == "refunded") is (told.undoes == "holds")

    def _replaced(self, place: Place) -> bool:
        return place.order is None and any(
            other.alive and (other.source, other.learner, other.product) == (place.source, place.learner, place.product)
            for other in self.places
            if other.order is None
        )


def key_of(told: Told) -> Key:
    """Return what a person is known by in the namespace of the sender."""
    assert told.who is not None
    by, what = ("id", told.who.number) if told.who.number else ("email", told.who.email)
    return NAMESPACE[told.source], by, what
