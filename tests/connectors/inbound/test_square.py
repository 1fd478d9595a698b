"""Square as a source: the suite, what only this sender says, and its API played on loopback."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, cast

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.errors import AnswerLost, PayloadInvalid
from bridge.contract.inbound import Enriches, InboundEvent, Lookup, Unreadable
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows, open_session
from tests.connectors.inbound.shops_rig import (
    ALTERATIONS,
    altered,
    altered_text,
    in_base64,
    shop,
    signed_examples,
)
from tests.suites.inbound import InboundSuite, refused, request

KEY, TOKEN, URL = "sq-key-made-up", "EAAA-made-up", "https://bridge.example.org/in/square"
PAYMENT, REFUND = "payment.updated.hookdeck.json", "refund.updated.hookdeck.json"
PAYMENT_ID = "KkAkhdMsgzn59SM8A89WgKwekxLZY"


def sent(body: Any, *, key: str = KEY, url: str = URL) -> InboundEvent:
    """A delivery, signed for the registered address."""
    payload = body if isinstance(body, bytes) else orjson.dumps(body)
    return request(payload, headers={"x-square-hmacsha256-signature": in_base64(key, url.encode() + payload)})


def told(kind: str, thing: Mapping[str, Any], at: str = "2026-01-05T12:00:00Z", **envelope: Any) -> InboundEvent:
    """An event of a type about an object."""
    name = kind.partition(".")[0]
    data = {"type": name, "id": thing.get("id"), "object": {name: thing}}
    return sent({"type": kind, "event_id": f"{kind}:{thing}:{at}", "created_at": at, "data": data, **envelope})


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def payment(**changes: Any) -> dict[str, Any]:
    """A completed payment of the order, as event and API show it."""
    return {
        "id": "pay-1",
        "status": "COMPLETED",
        "created_at": "2026-01-05T11:59:00.000Z",
        "updated_at": "2026-01-05T11:59:01.000Z",
        "amount_money": usd(14_970),
        "total_money": usd(14_970),
        "order_id": "order-1",
        "buyer_email_address": "ada@example.org",
        "billing_address": {"first_name": "Ada", "last_name": "Lovelace"},
        **changes,
    }


def sale(**changes: Any) -> dict[str, Any]:
    """A paid order of one course, and of two seats of another."""
    return {
        "id": "order-1",
        "state": "COMPLETED",
        "customer_id": "CUST",
        "line_items": [
            {
                "uid": "a",
                "catalog_object_id": "INTRO",
                "name": "Introduction",
                "quantity": "1",
                "total_money": usd(4990),
            },
            {"uid": "b", "catalog_object_id": "ETHICS", "name": "Ethics", "quantity": "2", "total_money": usd(9980)},
        ],
        "tenders": [{"id": "pay-1", "payment_id": "pay-1", "created_at": "2026-01-05T11:59:00Z"}],
        "net_amount_due_money": usd(0),
        "total_money": usd(14_970),
        **changes,
    }


def returning(*lines: tuple[str, str]) -> dict[str, Any]:
    """The order that a refund with lines makes."""
    back = [{"source_line_item_uid": uid, "quantity": quantity} for uid, quantity in lines]
    return {"id": "back-1", "returns": [{"source_order_id": "order-1", "return_line_items": back}]}


def refund(**changes: Any) -> dict[str, Any]:
    """A refund of some of the payment."""
    return {
        "id": "ref-1",
        "status": "COMPLETED",
        "payment_id": "pay-1",
        "order_id": "back-1",
        "amount_money": usd(4990),
        "updated_at": "2026-01-06T09:00:00Z",
        **changes,
    }


ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace")
BOUGHT = told("payment.updated", payment())


class PlayedSquare:
    """Square's API: the objects it holds by path, and faults to answer with first.

    Attributes:
        asked: path and authorisation of each request.
    """

    def __init__(self) -> None:
        self.held: dict[str, Mapping[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.faults: list[Callable[[], web.Response]] = []

    def hold(self, kind: str, *things: Mapping[str, Any]) -> PlayedSquare:
        self.held |= {f"/v2/{kind}s/{thing['id']}": {kind: thing} for thing in things}
        return self

    async def answer(self, asked: web.Request) -> web.Response:
        self.asked.append((asked.raw_path, asked.headers.get("Authorization", "")))
        if self.faults:
            return self.faults.pop(0)()
        if asked.raw_path in self.held:
            return web.json_response(self.held[asked.raw_path])
        return web.json_response({"errors": [{"code": "NOT_FOUND"}]}, status=404)

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[Http]:
        """Listen on loopback; yields what the adapter speaks through."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        async with TestServer(application) as server, open_session() as session:
            yield Http(str(server.make_url("/")), Windows((), SystemClock()), 2.0, session)


def square(*orders: Mapping[str, Any]) -> PlayedSquare:
    """Square with the payment, and with the order or these."""
    return PlayedSquare().hold("payment", payment()).hold("order", *(orders or (sale(),)))


class TestSquare(InboundSuite):
    """Webhooks, signed over address and body."""

    type = "square"
    source: ClassVar[dict[str, Any]] = {"signing_secrets": KEY, "notification_url": URL, "api_key": TOKEN}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        PAYMENT: [],  # see the lookups
        REFUND: [],
        "dispute.created.json": [
            EnrollmentCommand(
                action=Action.SUSPEND,
                occurred_at=datetime(2020, 2, 10, 9, 59, 0, 123_000, UTC),
                event_key="bc316346-6691-4243-88ed-6d651a0d0c99",
                order=Order(transaction_id=PAYMENT_ID, refs=(PAYMENT_ID,)),
            )
        ],
        "subscription.updated.json": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=datetime(2026, 3, 1, 10, tzinfo=UTC),
                event_key="bc316346-6691-4243-88ed-6d651a0d0c98",
                order=Order(subscription_id="sub-1"),
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return sent(orjson.loads(payload)["body"] if name.endswith(".hookdeck.json") else payload)

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = event.headers["x-square-hmacsha256-signature"]
        wrong = {
            "empty": "",
            "of another key": sent(event.body, key="other").headers["x-square-hmacsha256-signature"],
            "of another address": sent(event.body, url=URL + "/").headers["x-square-hmacsha256-signature"],
            "of the body alone": in_base64(KEY, event.body),
            "in hex": base64.b64decode(good).hex(),
        }
        return {
            **{how: self.with_signature(event, text) for how, text in wrong.items()},
            "absent": replace(event, headers={}),
            "of another body": replace(event, body=event.body + b" "),
            "of nothing": sent(b""),
        }

    def with_signature(self, event: InboundEvent, text: str) -> InboundEvent:
        return replace(event, headers={"x-square-hmacsha256-signature": text})

    def thin(self) -> Enriches:
        return cast("Enriches", self.adapter())

    async def found(self, played: PlayedSquare, event: InboundEvent = BOUGHT) -> Any:
        """Make the one lookup of an event."""
        assert self.adapter().normalise(event) == []
        (lookup,) = self.thin().lookups(event)
        async with played.reached() as http:
            return await self.thin().look_up(event, lookup, http)

    async def the(self, played: PlayedSquare, event: InboundEvent = BOUGHT) -> EnrollmentCommand:
        (command,) = await self.found(played, event)
        assert isinstance(command, EnrollmentCommand)
        return command

    def test_the_signed_example_is_accepted(self) -> None:
        """With its address, and only with it."""
        [(event, example)] = signed_examples(self.type)
        keys = {"signing_secrets": ["another", example["secret"]], "notification_url": example["notification_url"]}
        assert not refused(self.adapter(**keys), event)
        assert refused(self.adapter(**{**keys, "notification_url": example["notification_url"] + "/"}), event)
        assert refused(self.adapter(**{**keys, "signing_secrets": "another"}), event)

    @given(data=st.data())
    @ALTERATIONS
    def test_any_alteration_breaks_the_signature(self, data: st.DataObject) -> None:
        """Of the body, of the signature, or of the address."""
        event = self.load(PAYMENT)
        assert refused(self.adapter(), replace(event, body=data.draw(altered(event.body))))
        signature = data.draw(altered_text(event.headers["x-square-hmacsha256-signature"]))
        assert refused(self.adapter(), self.with_signature(event, signature))
        assert refused(self.adapter(notification_url=data.draw(altered_text(URL))), event)

    def test_only_what_is_completed_is_asked_about(self) -> None:
        """The documented payment lacks its order: then the payment itself is asked for."""
        asked = {
            PAYMENT: [Lookup("payment", PAYMENT_ID)],
            REFUND: [Lookup("payment", PAYMENT_ID)],
            "dispute.created.json": [],
        }
        for name, wanted in asked.items():
            assert list(self.thin().lookups(self.load(name))) == wanted
        assert list(self.thin().lookups(BOUGHT)) == [Lookup("order", "order-1")]
        invoice = {"id": "inv-1", "status": "PAID", "order_id": "order-1"}
        assert list(self.thin().lookups(told("invoice.payment_made", invoice))) == [Lookup("order", "order-1")]
        for event in (
            *(
                told("payment.updated", payment(status=status))
                for status in ("APPROVED", "PENDING", "FAILED", "CANCELED")
            ),
            *(told("refund.updated", refund(status=status)) for status in ("REJECTED", "FAILED")),
            told("invoice.payment_made", {**invoice, "status": "PARTIALLY_PAID"}),
            told("invoice.refunded", invoice),
            told("order.updated", {"id": "order-1", "status": "COMPLETED"}),
        ):
            assert list(self.thin().lookups(event)) == []
            assert self.adapter().normalise(event) == []

    def test_what_lacks_its_id_waits_in_quarantine(self) -> None:
        """And is not asked about."""
        for event, field in (
            (told("payment.updated", {"status": "COMPLETED"}), "data.object.payment.id"),
            (told("refund.updated", {"status": "COMPLETED"}), "data.object.refund.payment_id"),
            (told("invoice.payment_made", {"status": "PAID"}), "data.object.invoice.order_id"),
            (told("dispute.created", {"state": "LOST"}), "data.object.dispute.disputed_payment.payment_id"),
        ):
            with pytest.raises(PayloadInvalid) as invalid:
                self.adapter().normalise(event)
            assert list(invalid.value.faults) == [field]
            assert list(self.thin().lookups(event)) == []

    @pytest.mark.parametrize(
        ("state", "action"),
        [
            ("EVIDENCE_REQUIRED", Action.SUSPEND),
            ("PROCESSING", Action.SUSPEND),
            ("WON", Action.RESUME),
            ("LOST", Action.CANCEL),
            ("ACCEPTED", Action.CANCEL),
            ("INQUIRY_EVIDENCE_REQUIRED", None),
            ("INQUIRY_CLOSED", None),
        ],
    )
    def test_a_dispute_is_read_by_its_state(self, state: str, action: Action | None) -> None:
        """An inquiry takes no money."""
        dispute = {"id": "d", "state": state, "disputed_payment": {"payment_id": "pay-1"}}
        found = self.adapter().normalise(told("dispute.state.updated", dispute))
        assert [command.action for command in found if isinstance(command, EnrollmentCommand)] == (
            [action] if action else []
        )

    def test_a_refund_under_way_is_noted(self) -> None:
        """It may still be rejected."""
        (pending,) = self.adapter().normalise(told("refund.created", refund(status="PENDING")))
        assert isinstance(pending, EnrollmentCommand)
        assert pending.refund == Refund(full=False, pending=True)

    async def test_a_payment_bought_what_its_order_says(self) -> None:
        """Amounts are in the smallest unit; the event is known by everything that a later one may name."""
        played = square()
        assert await self.the(played) == EnrollmentCommand(
            action=Action.ENROLL,
            occurred_at=datetime(2026, 1, 5, 11, 59, tzinfo=UTC),
            event_key=BOUGHT.json["event_id"],
            business_key="order-1",
            learner=ADA,
            items=(
                Item(remote_product_id="INTRO", amount_paid=Decimal("49.90"), currency="USD", line="a"),
                Item(remote_product_id="ETHICS", quantity=2, amount_paid=Decimal("99.80"), currency="USD", line="b"),
            ),
            order=Order(
                number="order-1",
                status="COMPLETED",
                total=Decimal("149.70"),
                currency="USD",
                transaction_id="pay-1",
                subscription_id=None,
                refs=("order-1", "pay-1"),
            ),
        )
        assert played.asked == [("/v2/orders/order-1", f"Bearer {TOKEN}")]

    async def test_a_payment_without_its_order_is_asked_for_first(self) -> None:
        """As the vendor's documentation shows it."""
        thin = told("payment.updated", {"id": "pay-1", "status": "COMPLETED"})
        assert replace_key(await self.the(square(), thin)) == replace_key(await self.the(square()))

    async def test_the_customer_is_asked_for_an_e_mail_and_a_name(self) -> None:
        """Only where the payment lacks one; one who is gone does no harm."""
        customer = {"id": "CUST", "given_name": "Bob", "family_name": "Best", "email_address": "bob@example.org"}
        bare = payment(buyer_email_address=None, billing_address=None)
        nameless = payment(billing_address=None)
        for thing, wanted in (
            (bare, ("bob@example.org", "Bob", "Best")),
            (nameless, ("ada@example.org", "Bob", "Best")),
            (payment(), ("ada@example.org", "Ada", "Lovelace")),
        ):
            learner = (await self.the(square().hold("customer", customer), told("payment.updated", thing))).learner
            assert learner is not None
            assert (learner.email, learner.first_name, learner.last_name) == wanted
        learner = (await self.the(square(), told("payment.updated", nameless))).learner
        assert learner == Learner(email="ada@example.org")
        with pytest.raises(PayloadInvalid) as invalid:
            await self.found(square(), told("payment.updated", bare))
        assert list(invalid.value.faults) == ["payment.buyer_email_address"]

    async def test_who_gets_the_goods_is_the_learner_where_nobody_else_is_named(self) -> None:
        """An order from a payment link says so."""
        recipient = {"display_name": "Eve Example", "email_address": "eve@example.org", "phone_number": "+1"}
        order = sale(fulfillments=[{"shipment_details": {"recipient": recipient}}])
        bare = told("payment.updated", payment(buyer_email_address=None, billing_address=None))
        learner = (await self.the(square(order), bare)).learner
        assert learner == Learner(email="eve@example.org", first_name="Eve", last_name="Example", phone="+1")

    async def test_an_order_counts_once_it_is_paid_in_full(self) -> None:
        """The first of two payments means nothing; one that the order does not show yet is asked about again."""
        part = sale(net_amount_due_money=usd(100))
        assert await self.found(square(part)) == []
        answer = await self.found(square({**part, "tenders": []}))
        assert isinstance(answer, TryLater)
        both = [{"payment_id": "pay-0", "created_at": "2026-01-01T00:00:00Z"}, *sale()["tenders"]]
        bought = await self.the(square(sale(tenders=both)))
        assert bought.order.refs == ("order-1", "pay-0", "pay-1")
        assert bought.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)

    async def test_lines_outside_of_the_catalogue_go_by_their_name(self) -> None:
        """One without any does not sink the others; an order without lines can't be understood."""
        lines = [{"uid": "a", "name": "Talk", "quantity": "1.5"}, {"uid": "b", "quantity": "x"}]
        bought, bad = await self.found(square(sale(line_items=lines)))
        assert [(item.remote_product_id, item.quantity) for item in bought.items] == [("Talk", 1)]
        assert bad == Unreadable("b", {"order.line_items.1.catalog_object_id": "is missing"})
        with pytest.raises(PayloadInvalid):
            await self.found(square(sale(line_items=None)))

    async def test_an_invoice_is_its_order_too(self) -> None:
        """It adds the subscription by whose id the end comes."""
        invoice = {
            "id": "inv-1",
            "status": "PAID",
            "order_id": "order-1",
            "subscription_id": "sub-1",
            "primary_recipient": {
                "customer_id": "CUST",
                "email_address": "ada@example.org",
                "given_name": "Ada",
                "family_name": "Lovelace",
            },
        }
        bought = await self.the(square(), told("invoice.payment_made", invoice))
        of_payment = await self.the(square())
        assert bought.items == of_payment.items
        assert (bought.business_key, bought.occurred_at) == (of_payment.business_key, of_payment.occurred_at)
        assert (bought.order.subscription_id, bought.order.refs) == ("sub-1", ("order-1", "pay-1", "inv-1"))

    @pytest.mark.parametrize(
        ("refunded", "back", "wanted"),
        [
            (14_970, None, (True, [])),
            (4990, returning(("a", "1")), (False, ["a"])),
            (4990, returning(("b", "1")), (False, [])),
            (9980, returning(("b", "2")), (False, ["b"])),
            (9980, returning(("b", "1"), ("b", "1.0"), ("z", "1")), (False, ["b"])),
            (100, {"id": "back-1"}, (False, [])),
            (100, None, (False, [])),
        ],
    )
    async def test_a_refund_is_of_all_of_some_lines_or_of_money(
        self, refunded: int, back: Any, wanted: tuple[bool, list[str]]
    ) -> None:
        """As the payment, and the order that the refund made, say; one seat of two is no line."""
        played = square().hold("payment", payment(refunded_money=usd(refunded), refund_ids=["ref-0", "ref-1"]))
        if back:
            played.hold("order", back)
        command = await self.the(played, told("refund.updated", refund(amount_money=usd(100))))
        assert command.refund is not None
        assert (command.refund.full, [item.line for item in command.items]) == wanted
        assert command.order == Order(transaction_id="pay-1", refs=("pay-1",))
        assert command.occurred_at == datetime(2026, 1, 6, 9, tzinfo=UTC)

    async def test_a_payment_that_does_not_show_its_refund_yet_is_asked_again(self) -> None:
        """It would say that too little is back."""
        played = square().hold("payment", payment(refund_ids=["ref-0"], refunded_money=usd(1)))
        assert isinstance(await self.found(played, told("refund.updated", refund())), TryLater)

    async def test_one_of_two_payments_given_back_is_not_the_whole_order(self) -> None:
        """It is noted, unless it names lines."""
        order = sale(tenders=[{"payment_id": "pay-0"}, {"payment_id": "pay-1"}])
        played = square(order).hold("payment", payment(refunded_money=usd(14_970)))
        command = await self.the(played, told("refund.updated", refund(amount_money=usd(14_970))))
        assert (command.refund, command.items) == (Refund(full=False), ())

    @pytest.mark.parametrize(
        ("fault", "wanted"),
        [
            (lambda: web.Response(status=500), TryLater),
            (lambda: web.Response(status=429, headers={"Retry-After": "7"}), TryLater),
            (lambda: web.Response(status=401), NeedsOperator),
            (lambda: web.Response(status=302, headers={"Location": "/elsewhere"}), NeedsOperator),
            (lambda: web.Response(status=400), Refused),
            (lambda: web.Response(status=404), Refused),
            (lambda: web.Response(text="<html>"), TryLater),
            (lambda: web.json_response({"order": {"id": "another"}}), TryLater),
            (lambda: web.json_response([]), TryLater),
        ],
    )
    async def test_an_answer_that_is_none_follows_the_usual_rules(self, fault: Any, wanted: type) -> None:
        """The order's; a customer that can't be asked for delays the purchase as well."""
        played = square()
        played.faults.append(fault)
        answer = await self.found(played)
        assert isinstance(answer, wanted)
        assert TOKEN not in repr(answer)
        assert len(played.asked) == 1

    async def test_a_broken_connection_is_no_answer(self) -> None:
        """It is tried again by whoever asked."""

        async def cut(asked: web.Request) -> web.Response:
            assert asked.transport is not None
            asked.transport.abort()
            return web.Response()

        played = square()
        played.answer = cut  # type: ignore[method-assign]
        with pytest.raises(AnswerLost):
            await self.found(played)

    async def test_an_id_cannot_lead_elsewhere(self) -> None:
        """It is quoted into the address."""
        played = square()
        answer = await self.found(played, told("payment.updated", payment(order_id="../../oauth?a=b#c")))
        assert isinstance(answer, Refused)
        assert played.asked[0][0] == "/v2/orders/..%2F..%2Foauth%3Fa%3Db%23c"

    async def test_many_updates_are_one_purchase_and_a_refund_takes_only_its_lines(self, tmp_path: Path) -> None:
        """Also the update that the refund itself makes, which is newer than it."""
        played = square().hold("order", returning(("a", "1")))
        again = told("payment.updated", payment(updated_at="2026-01-05T13:00:00Z"), at="2026-01-05T13:00:00Z")
        back = told("refund.updated", refund(), at="2026-01-06T09:00:01Z")
        after = told("payment.updated", payment(refunded_money=usd(4990)), at="2026-01-06T09:00:02Z")
        async with shop(tmp_path, self.adapter(), "INTRO", "ETHICS") as world, played.reached() as http:
            await world.asked(http, told("payment.created", payment(status="APPROVED")), BOUGHT, again, BOUGHT)
            assert await world.lines() == {"a": "live", "b": "live"}
            await world.asked(http, back, after, back)
            assert await world.lines() == {"a": "cancelled", "b": "live"}
            played.hold("payment", payment(refunded_money=usd(14_970)))
            rest = refund(id="ref-2", amount_money=usd(9980), updated_at="2026-01-07T09:00:00Z")
            await world.asked(http, told("refund.updated", rest, at="2026-01-07T09:00:01Z"), after)
            assert await world.lines() == {"a": "cancelled", "b": "cancelled"}
            assert await world.waiting() == []

    async def test_a_refund_that_comes_first_waits_for_its_payment(self, tmp_path: Path) -> None:
        """And then takes its line away."""
        played = square().hold("order", returning(("a", "1")))
        async with shop(tmp_path, self.adapter(), "INTRO", "ETHICS") as world, played.reached() as http:
            await world.asked(http, told("refund.updated", refund()))
            assert await world.waiting() == ["early"]
            await world.asked(http, BOUGHT)
            assert await world.lines() == {"a": "cancelled", "b": "live"}
            assert await world.waiting() == []

    async def test_a_subscription_ends_with_all_its_periods(self, tmp_path: Path) -> None:
        """Whether payment or invoice told of them first; a lost dispute ends one."""
        second = sale(
            id="order-2", tenders=[{"payment_id": "pay-2"}], line_items=[{"uid": "c", "catalog_object_id": "INTRO"}]
        )
        played = square(sale(), second)
        paid = {"status": "PAID", "subscription_id": "sub-1", "primary_recipient": {"email_address": "ada@example.org"}}
        first_invoice = told("invoice.payment_made", {"id": "inv-1", "order_id": "order-1", **paid})
        second_invoice = told("invoice.payment_made", {"id": "inv-2", "order_id": "order-2", **paid})
        lost = {"id": "d", "state": "LOST", "disputed_payment": {"payment_id": "pay-2"}}
        async with shop(tmp_path, self.adapter(), "INTRO", "ETHICS") as world, played.reached() as http:
            await world.asked(http, BOUGHT, first_invoice, second_invoice)
            assert await world.lines() == {"a": "live", "b": "live", "c": "live"}
            await world.receive(told("dispute.state.updated", lost, at="2026-02-01T00:00:00Z"))
            assert await world.lines() == {"a": "live", "b": "live", "c": "cancelled"}
            await world.receive(self.load("subscription.updated.json"))
            assert set((await world.lines()).values()) == {"cancelled"}


def replace_key(command: EnrollmentCommand) -> EnrollmentCommand:
    """The command without what tells its event."""
    return command.model_copy(update={"event_key": None})
