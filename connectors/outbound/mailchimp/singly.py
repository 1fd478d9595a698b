"""One person at a time: the member of each list, its tags, its events."""

from __future__ import annotations

from dataclasses import replace

from bridge.contract.outbound import Outcome, Receipt, Refs, TryLater, Work
from connectors.outbound.mailchimp.answers import concerns_all, failed, member_status, object_of, taken, written
from connectors.outbound.mailchimp.api import Api
from connectors.outbound.mailchimp.plan import Call, Event, Plan, member_path
from connectors.outbound.mailchimp.settings import OCCURRENCE, MailchimpSettings

_SENT = "sent"
_MOST_EVENTS = "1000"  # of one member that are looked through: Mailchimp's largest page


class Singly:
    """The way of live traffic."""

    def __init__(self, settings: MailchimpSettings, api: Api) -> None:
        """Speak through ``api``."""
        self._settings = settings
        self._api = api

    async def bring(self, work: Work, plan: Plan, told: dict[str, str]) -> Outcome:
        """Bring one person to what is planned, everywhere; ``told`` as in :meth:`tell`.

        No finished call is kept as a step: PUT and tags are harmless to repeat, and what an earlier try wrote may have
        been an older name or address than the one that is wanted now.

        Raises:
            TransportFault: no answer came back.
        """
        notes: list[str] = []
        wrong: Outcome | None = None
        for member, tags in plan.lists:
            outcome = await self._list(work, plan, member, tags)
            if isinstance(outcome, Receipt):
                notes += [outcome.note] if outcome.note else []
            elif concerns_all(outcome):
                return outcome
            elif wrong is None or isinstance(outcome, TryLater):  # while one list may yet take it, it is not over
                wrong = outcome
        return wrong or await self.tell(work, plan, notes, told)

    async def tell(self, work: Work, plan: Plan, notes: list[str], told: dict[str, str]) -> Outcome:
        """Tell the events, once the member is everywhere; ``told`` gets the ref of each, whatever becomes of the next.

        Raises:
            TransportFault: no answer came back.
        """
        for event in plan.events:
            outcome = await self._event(work, plan, event)
            if not isinstance(outcome, Receipt):
                return replace(outcome, refs=Refs(person={**told, **outcome.refs.person}))
            told[event.ref] = _SENT
        return arrived(plan, notes, told)

    async def _list(self, work: Work, plan: Plan, member: Call, tags: Call | None) -> Outcome:
        moved = await self._move(work, plan, member.list_id)
        if not isinstance(moved, Receipt):
            return moved
        put = await self._put(work, member)
        if not isinstance(put, Receipt):
            return put
        if tags is not None:
            tagged = await self._tag(work, member, tags)
            if not isinstance(tagged, Receipt):
                return tagged
        return Receipt(note="; ".join(note for note in (moved.note, put.note) if note))

    async def _move(self, work: Work, plan: Plan, list_id: str) -> Outcome:
        """Give the member of the former address the new one, so that its history and tags come along."""
        if plan.former is None:
            return Receipt()
        path, body = member_path(list_id, plan.former), {"email_address": plan.address}
        answer = await self._api.send("PATCH", path, body, self._settings.lenient)
        if member_status(answer) is not None or answer.status == 404:
            return Receipt()
        if answer.status == 400:  # the new address is a member already, or is refused, which the PUT will tell
            return Receipt(note=f"the former address stays on list {list_id}")
        return failed(answer, f"change the member's address on list {list_id}", work)

    async def _put(self, work: Work, member: Call) -> Outcome:
        answer = await self._api.send("PUT", member.path, member.body, self._settings.lenient)
        return written(answer, member, self._settings.list_id, work)

    async def _tag(self, work: Work, member: Call, tags: Call) -> Outcome:
        answer = await self._api.send("POST", tags.path, tags.body)
        if answer.status == 404:  # deleted since the PUT
            again = await self._put(work, member)
            if not isinstance(again, Receipt):
                return again
            answer = await self._api.send("POST", tags.path, tags.body)
        return taken(answer, f"tag the member of list {tags.list_id}", work)

    async def _event(self, work: Work, plan: Plan, event: Event) -> Outcome:
        path = f"{member_path(event.list_id, plan.member)}/events"
        if work.unknown:
            known = await self._known(path, event, work)
            if not isinstance(known, bool):
                return known
            if known:
                return Receipt()
        answer = await self._api.send("POST", path, event.body)
        return taken(answer, f"tell an event of the member of list {event.list_id}", work)

    async def _known(self, path: str, event: Event, work: Work) -> bool | Outcome:
        """Say whether an earlier try, of which nobody heard, told it."""
        answer = await self._api.send("GET", path, params={"count": _MOST_EVENTS})
        events = object_of(answer).get("events")
        if not answer.ok or not isinstance(events, list):
            return failed(answer, "look for an event", work)
        return any(
            isinstance(one, dict)
            and one.get("name") == event.body["name"]
            and isinstance(properties := one.get("properties"), dict)
            and properties.get(OCCURRENCE) == event.occurrence
            for one in events
        )


def arrived(plan: Plan, notes: list[str], told: dict[str, str]) -> Receipt:
    """Return the receipt of a person who is everywhere.

    The ref of the member is given only then: until every list has the address, a repeat must still know the former one.
    """
    if plan.silent:
        notes = [*notes, f"{plan.silent} too old to be told as an event"]
    return Receipt(Refs(person={"member": plan.member, **told}), "; ".join(notes))
