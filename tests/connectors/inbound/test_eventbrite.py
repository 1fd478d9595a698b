"""Eventbrite as a source: the suite, then what only this sender says, with its API played on loopback."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, cast

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.errors import PayloadInvalid, TransportFault
from bridge.contract.inbound import Enriches, InboundEvent, Lookup, Unreadable
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.intake.blank import stored_body
from tests.connectors.inbound.sellers_rig import ALTERATIONS, Api, altered, nobody, shop
from tests.suites.inbound import PAYLOADS, RECEIVED, InboundSuite, refused, request

SECRET = "a-long-made-up-token"
TOKEN = "MADEUPPRIVATETOKEN"
ORDER_PATH = "/v3/orders/1234567890/?expand=attendees"
ATTENDEE_PATH = "/v3/events/500/attendees/71/"
ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace")
BOB = Learner(email="bob@example.org", first_name="Bob", last_name="Best")


def order(**changes: Any) -> dict[str, Any]:
    return orjson.loads((PAYLOADS / "eventbrite" / "order.answer.json").read_bytes()) | changes


def with_attendee(place: int, /, **changes: Any) -> dict[str, Any]:
    answer = order()
    answer["attendees"][place] |= changes
    return answer


def ticket(action: Action, learner: Learner, product: str, line: str, **more: Any) -> EnrollmentCommand:
    return EnrollmentCommand.model_validate(
        {
            "action": action,
            "occurred_at": datetime(2026, 11, 20, 10, 0, 5, tzinfo=UTC),
            "business_key": "order:1234567890",
            "learner": learner,
            "items": (Item(remote_product_id=product, amount_paid=Decimal("49.90"), currency="EUR", line=line),),
            "order": Order(number="1234567890", status="placed", total=Decimal("99.80"), currency="EUR"),
            **more,
        }
    )


class TestEventbrite(InboundSuite):
    """Thin webhooks to an address that nobody else knows."""

    type = "eventbrite"
    source: ClassVar[dict[str, Any]] = {"secret": SECRET, "token": TOKEN}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "order.placed.json": [],
        "attendee.updated.json": [],
        "attendee.checked_in.json": [],
        "test.json": [],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return request(payload, query={"secret": SECRET})

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        wrong = ("", SECRET[:-1], SECRET.upper(), f" {SECRET}", TOKEN, "\ud800")
        return {
            **{repr(text): replace(event, query={"secret": text}) for text in wrong},
            "absent": replace(event, query={}),
            "in the body": replace(event, query={}, body=orjson.dumps({"secret": SECRET})),
            "in a header": replace(event, query={}, headers={"secret": SECRET, "authorization": f"Bearer {SECRET}"}),
        }

    def thin(self, **settings: Any) -> Enriches:
        return cast("Enriches", self.adapter(**settings))

    def told(self, action: str, api_url: Any) -> InboundEvent:
        body = orjson.dumps({"config": {"action": action}, "api_url": api_url})
        return request(body, query={"secret": SECRET})

    async def found(self, api: Api, name: str = "order.placed.json", **settings: Any) -> Any:
        """Make the one lookup of an event."""
        adapter, event = self.thin(**settings), self.load(name)
        (lookup,) = adapter.lookups(event)
        async with api.reached() as http:
            return await adapter.look_up(event, lookup, http)

    @given(data=st.data())
    @ALTERATIONS
    def test_another_secret_is_refused(self, data: st.DataObject) -> None:
        """Whichever character of it is another one."""
        shown = data.draw(altered(SECRET.encode())).decode("latin-1")
        assert refused(self.adapter(), request(query={"secret": shown}))

    def test_the_address_in_the_body_is_not_kept(self) -> None:
        """The secret stands in it."""
        event = self.load("order.placed.json")
        assert SECRET in event.body.decode()
        assert SECRET not in stored_body(event, self.adapter().credential_fields, ())[0]

    @pytest.mark.parametrize("action", ["order.placed", "order.updated", "order.refunded"])
    def test_an_order_is_asked_for_by_its_id(self, action: str) -> None:
        """Wherever the address in the body leads: nobody goes there."""
        for address in (
            "https://www.eventbriteapi.com/v3/orders/12/",
            "http://evil.example/v3/orders/12?x=1",
            "/v3/orders/12",
        ):
            assert self.thin().lookups(self.told(action, address)) == [Lookup("order", "12")]

    @pytest.mark.parametrize(
        "address",
        [
            "",
            None,
            7,
            "https://[",
            "https://x.example/v3/orders/../1/",
            "/v3/orders/1%2F2/",
            "/v3/orders/\u0661/",
            "/v3/orders/1/notes/",
        ],
    )
    def test_an_address_of_something_else_waits(self, address: Any) -> None:
        """There may be a purchase behind it, which a person has to find."""
        event = self.told("order.placed", address)
        assert self.thin().lookups(event) == []
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(event)
        assert list(invalid.value.faults) == ["api_url"]

    def test_other_actions_are_of_no_use(self) -> None:
        """Somebody who checks in holds a ticket already."""
        for name in ("attendee.checked_in.json", "test.json"):
            assert self.thin().lookups(self.load(name)) == []

    async def test_an_order_is_a_learner_for_each_attendee(self) -> None:
        """Whoever paid; each with a line of the one purchase."""
        api = Api({ORDER_PATH: order()})
        assert await self.found(api) == [
            ticket(Action.ENROLL, ADA, "61", "71"),
            ticket(Action.ENROLL, BOB, "62", "72"),
        ]
        ((method, path, headers),) = api.asked
        assert (method, path, headers["Authorization"]) == ("GET", ORDER_PATH, f"Bearer {TOKEN}")

    async def test_an_event_may_be_the_product(self) -> None:
        """Where all of its tickets open the same."""
        commands = await self.found(Api({ORDER_PATH: order()}), sold_by="event")
        assert [command.items[0].remote_product_id for command in commands] == ["500", "500"]

    async def test_an_attendee_without_an_address_is_reached_through_the_buyer(self) -> None:
        """An event may ask for the buyer's data only."""
        commands = await self.found(Api({ORDER_PATH: with_attendee(0, profile={"name": "Ada Lovelace"})}))
        assert commands[0].learner == Learner(email="pat@example.org", first_name="Pat", last_name="Payer")

    async def test_a_refunded_ticket_is_taken_back_alone(self) -> None:
        """The other attendee keeps hers."""
        changed = "2026-11-21T00:00:00Z"
        commands = await self.found(Api({ORDER_PATH: with_attendee(1, refunded=True, changed=changed)}))
        assert commands == [
            ticket(Action.ENROLL, ADA, "61", "71"),
            ticket(
                Action.REFUND,
                BOB,
                "62",
                "72",
                refund=Refund(full=False),
                occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
            ),
        ]

    @pytest.mark.parametrize(
        ("changes", "action"),
        [
            ({"status": "refunded"}, Action.REFUND),
            ({"status": "cancelled"}, Action.CANCEL),
            ({"status": "deleted"}, Action.CANCEL),
            ({"status": "pending"}, None),
            ({"status": "unpaid"}, None),
            ({"status": "started"}, None),
            ({"status": "something new"}, None),
        ],
    )
    async def test_the_state_of_an_order_is_that_of_its_tickets(self, changes: Any, action: Action | None) -> None:
        """One that is not paid gives nothing."""
        commands = await self.found(Api({ORDER_PATH: order(**changes)}))
        assert [command.action for command in commands] == ([action] * 2 if action else [])

    @pytest.mark.parametrize(
        ("changes", "action"),
        [
            ({}, Action.ENROLL),
            ({"status": "Checked In"}, Action.ENROLL),
            ({"cancelled": True}, Action.CANCEL),
            ({"status": "Not Attending"}, Action.CANCEL),
            ({"refunded": True, "cancelled": True}, Action.REFUND),
            ({"status": "Unpaid"}, None),
        ],
    )
    async def test_an_attendee_is_looked_up_alone(self, changes: Any, action: Action | None) -> None:
        """And names the purchase and the line that the order does."""
        answer = order()["attendees"][0] | changes
        commands = await self.found(Api({ATTENDEE_PATH: answer}), "attendee.updated.json")
        assert [command.action for command in commands] == ([action] if action else [])
        for command in commands:
            assert (command.business_key, command.items[0].line) == ("order:1234567890", "71")

    async def test_one_bad_attendee_does_not_sink_the_others(self) -> None:
        """It waits in quarantine under its id."""
        first, second = await self.found(Api({ORDER_PATH: with_attendee(0, ticket_class_id=None)}))
        assert first == Unreadable("71", {"attendees.0.ticket_class_id": "is missing"})
        assert second.learner == BOB

    @pytest.mark.parametrize("answer", [[], {}, {"id": "2"}, "x", {"id": "1234567890", "attendees": {}}])
    async def test_an_answer_about_something_else_is_asked_for_again(self, answer: Any) -> None:
        """An order without attendees is of no use."""
        found = await self.found(Api({ORDER_PATH: answer}))
        assert found == [] if answer and "attendees" in answer else isinstance(found, TryLater)

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            (lambda: web.Response(status=404), Refused),
            (lambda: web.Response(status=401), NeedsOperator),
            (lambda: web.Response(status=429, headers={"Retry-After": "7"}), TryLater),
            (lambda: web.Response(status=503), TryLater),
            (lambda: web.Response(status=302, headers={"Location": "/elsewhere"}), NeedsOperator),
            (lambda: web.Response(text="<html>"), TryLater),
            (lambda: web.Response(status=204), TryLater),
        ],
    )
    async def test_every_fault_is_put_off_or_told(self, fault: Callable[[], web.Response], kind: type) -> None:
        """A purchase is never lost because the API is down."""
        outcome = await self.found(Api({ORDER_PATH: order()}, faults=[fault]))
        assert isinstance(outcome, kind)
        assert TOKEN not in repr(outcome)

    async def test_a_sender_that_does_not_answer_is_asked_again(self) -> None:
        """The job makes the lookup again."""
        adapter, event = self.thin(), self.load("order.placed.json")
        (lookup,) = adapter.lookups(event)
        async with nobody() as http:
            with pytest.raises(TransportFault):
                await adapter.look_up(event, lookup, http)

    async def test_tickets_are_registrations_until_they_are_given_back(self, tmp_path: Path) -> None:
        """Told by the order and by the attendee, again and again."""
        api = Api({ORDER_PATH: order(), ATTENDEE_PATH: order()["attendees"][0]})
        placed, updated = self.load("order.placed.json"), self.load("attendee.updated.json")
        async with shop(tmp_path, self.adapter(), "61", "62") as world, api.reached() as http:
            await world.look_up(placed, http)
            await world.look_up(placed, http)
            await world.look_up(updated, http)
            assert await world.wanted() == {"61": "live", "62": "live"}
            assert len(await world.intents()) == 2
            api.objects[ATTENDEE_PATH] = order()["attendees"][0] | {
                "cancelled": True,
                "changed": "2026-11-21T00:00:00Z",
            }
            await world.look_up(updated, http)
            assert await world.wanted() == {"61": "cancelled", "62": "live"}
            await world.look_up(placed, http)  # an older state
            assert await world.wanted() == {"61": "cancelled", "62": "live"}

    async def test_a_ticket_that_never_changed_is_of_the_time_of_receipt(self) -> None:
        """Where neither the order nor the attendee says when."""
        bare = {name: value for name, value in order()["attendees"][0].items() if name != "changed"}
        (command,) = await self.found(Api({ATTENDEE_PATH: bare}), "attendee.updated.json")
        assert command.occurred_at == RECEIVED
