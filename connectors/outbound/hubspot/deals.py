"""One deal for each registration, told apart by a property of ours that holds unique values, joined to the contact.

A deal is written only when what we would write has changed since HubSpot confirmed it last: a stage that a colleague
moved by hand stays where it is, and a person with fifty old registrations costs no fifty writes. What was confirmed
stands in a ref of the person, ``deal:REGISTRATION`` = ``"ID FINGERPRINT CONTACT"``; CONTACT is the contact that the deal
was joined to, and is missing as long as it was joined to none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.contract.outbound import Enrollment, TryLater, Work
from bridge.contract.settings import Milestone
from bridge.kit.actions import due, folded, roots_of
from bridge.kit.http import Answer
from connectors.outbound.hubspot.answers import failed, problem, results
from connectors.outbound.hubspot.api import Api
from connectors.outbound.hubspot.settings import HubspotCourse, HubspotSettings
from connectors.outbound.hubspot.upserts import Record, Turns, settle, upsert


@dataclass(slots=True, kw_only=True)
class Deal(Record):
    """The deal of one registration.

    Attributes:
        key_property: the property that holds our key.
        ref: name of the ref that remembers it.
        known: its id, as HubSpot confirmed it earlier.
        confirmed: fingerprint of what was confirmed earlier.
        joined: id of the contact that it was joined to.
        contact: id of the contact that it belongs to.
    """

    key_property: str
    ref: str
    known: str = ""
    confirmed: str = ""
    joined: str = ""
    contact: str = ""
    note: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Our key, the same on every try."""
        return self.key_property, self.trace

    @property
    def fingerprint(self) -> str:
        """What stands for its content."""
        content = orjson.dumps(self.properties, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).hexdigest()[:12]

    @property
    def changed(self) -> bool:
        """Whether HubSpot has to be told of it."""
        return not self.known or self.fingerprint != self.confirmed

    @property
    def written(self) -> bool:
        """Whether HubSpot confirmed it in this delivery."""
        return bool(self.remote_id)

    @property
    def id(self) -> str:
        """Its id at HubSpot, where it has one."""
        return self.remote_id or self.known

    @property
    def unfinished(self) -> bool:
        """Whether it is neither as it has to be, nor known why not."""
        return self.outcome is None and ((self.changed and not self.written) or self.loose)

    @property
    def loose(self) -> bool:
        """Whether it still has to be joined to the contact."""
        return self.outcome is None and bool(self.id) and self.joined != self.contact

    @property
    def remembered(self) -> dict[str, str]:
        """The ref that the next delivery is to see; none as long as HubSpot never confirmed it."""
        mark = self.fingerprint if self.written else self.confirmed
        return {self.ref: f"{self.id} {mark} {self.joined}".strip()} if self.id else {}

    def is_there(self, remote_id: str, note: str = "") -> None:
        """HubSpot has it; another one than before, when a colleague had deleted that, is joined to nobody."""
        self.remote_id = remote_id
        if remote_id != self.known:
            self.joined = ""


def deals_of(settings: HubspotSettings, work: Work) -> Iterator[Deal]:
    """Yield the deal of each registration that has one."""
    actions = [one for _, one in settings.deal_actions]
    parts: dict[int, list[tuple[Mapping[str, str], Mapping[str, Any]]]] = {}
    for enrollment in sorted(_enrolled(work), key=lambda one: one.milestones[Milestone.ENROLLED]):
        if mapped := _mapping(settings, enrollment):
            parts.setdefault(enrollment.registration_id, []).append((mapped, roots_of(work.learner, enrollment)))
    for one in due(actions, work):
        parts.setdefault(one.enrollment.registration_id, []).append((one.action.fields, one.roots))
    for registration, laid in sorted(parts.items()):
        key, ref = f"bridge-registration-{registration}", f"deal:{registration}"
        known, confirmed, joined, *_ = [*work.refs.person.get(ref, "").split(" "), "", "", ""]
        yield Deal(
            key_property=settings.deal_key,
            trace=key,
            properties={**folded(laid), settings.deal_key: key},
            learner=work.learner,
            ref=ref,
            known=known,
            confirmed=confirmed,
            joined=joined,
        )


def _enrolled(work: Work) -> Iterable[Enrollment]:
    return (one for one in work.enrollments if Milestone.ENROLLED in one.milestones)


def _mapping(settings: HubspotSettings, enrollment: Enrollment) -> dict[str, str]:
    table = enrollment.table
    return {**settings.deal, **(table.deal if isinstance(table, HubspotCourse) else {})}


class Deals:
    """Brings deals to HubSpot."""

    def __init__(self, api: Api, turns: Turns) -> None:
        """Take the way there and the time there is."""
        self._api = api
        self._turns = turns

    async def bring(self, deals: Sequence[Deal]) -> None:
        """Write those that changed and join each to its contact; what did not succeed has its outcome afterwards."""
        stopped = await self._turns.chunks([one for one in deals if one.changed], self._upsert)
        loose = [one for one in deals if one.loose]
        if stopped is not None:
            settle(loose, stopped)
        else:
            await self._turns.chunks(loose, self._join)

    async def _upsert(self, deals: Sequence[Deal]) -> None:
        if len(deals) == 1:
            await self._upsert_one(deals[0])
            return
        answer = await upsert(self._api, "deals", deals)
        left = [one for one in deals if one.open]
        if results(answer) is not None or answer.status in (400, 409):
            await self._turns.each(left, self._upsert_one)
        else:
            settle(left, self._failed(answer, "upsert the deals", deals))

    async def _upsert_one(self, deal: Deal) -> None:
        answer = await upsert(self._api, "deals", [deal])
        if deal.open:
            deal.outcome = self._failed(answer, "upsert the deal", [deal])

    async def _join(self, deals: Sequence[Deal]) -> None:
        """Join all of them in one call; repeated, it changes nothing."""
        pairs = [{"from": {"id": deal.id}, "to": {"id": deal.contact}} for deal in deals]
        answer = await self._api.send("POST", self._api.associations, {"inputs": pairs})
        joined = _pairs(answer)
        for deal in deals:
            if (deal.id, deal.contact) in joined:
                deal.joined = deal.contact
        left = [one for one in deals if one.loose]
        # An answer that names nobody's fault is asked for one by one, too: it isolates the one that is to blame.
        if results(answer) is not None or _about_a_record(answer):
            await self._turns.each(left, self._join_one)
        else:
            settle(left, self._failed(answer, "join the deals to their contacts", deals))

    async def _join_one(self, deal: Deal) -> None:
        answer = await self._api.send("PUT", self._api.association(deal.id, deal.contact))
        if results(answer):
            deal.joined = deal.contact
        elif answer.status != 404 or not _about_a_record(answer):
            deal.outcome = self._failed(answer, "join the deal to its contact", [deal])
        elif deal.written:
            deal.outcome = TryLater("join the deal to its contact: HubSpot does not find what it has just confirmed")
        else:  # a colleague deleted it, and nothing of it has changed: it stays away
            deal.joined = deal.contact
            deal.note = f"deal {deal.id} is gone"

    def _failed(self, answer: Answer, what: str, deals: Sequence[Deal]) -> Any:
        return failed(answer, what, [one.learner for one in deals], deals[0].key_property)


def _pairs(answer: Answer) -> set[tuple[str, str]]:
    """Return which deal is joined to which contact, by an answer that names both directions."""
    found = set()
    for result in results(answer) or ():
        ends = [result.get(end) for end in ("from", "to")]
        one, other = (str(end.get("id")) if isinstance(end, dict) else "" for end in ends)
        found |= {(one, other), (other, one)}
    return found


def _about_a_record(answer: Answer) -> bool:
    return answer.status in (400, 409) or (answer.status == 404 and problem(answer).category == "OBJECT_NOT_FOUND")
