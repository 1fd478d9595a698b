"""Shopify as a source: the suite, then what only this sender says."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent, Unreadable
from tests.connectors.inbound.shops_rig import (
    ALTERATIONS,
    altered,
    altered_text,
    captured,
    in_base64,
    shop,
    signed_examples,
)
from tests.suites.inbound import PAYLOADS, RECEIVED, InboundSuite, refused, request

SECRET = "shpss-made-up-for-the-test"
ORDER, FIRST, SECOND = "820982911946154500", "866550311766439000", "141249953214522980"
JON = Learner(
    email="jon@example.com",
    first_name="John",
    last_name="Smith",
    phone="555-555-SHIP",
    attributes={"shopify_customer": "115310627314723950"},
)
PAID = "orders.paid.hookdeck.json"
CANCELLED = "orders.cancelled.hookdeck.json"
REFUNDED = "refunds.create.hookdeck.json"
DISPUTED = "disputes.create.hookdeck.json"
BACK = [{"id": 1, "kind": "refund", "status": "success", "amount": "199.00"}]


def at(text: str) -> datetime:
    """A moment of 7 August 2024, with six of Shopify's nine decimals."""
    return datetime.fromisoformat(f"2024-08-07T{text}").replace(tzinfo=UTC)


def line(number: str, product: str = "632910392") -> Item:
    return Item(remote_product_id=product, amount_paid=Decimal("199.00"), currency="USD", line=number)


def sent(topic: str, body: Any, minute: int = 0, **headers: str) -> InboundEvent:
    """A live delivery, triggered so many minutes after noon."""
    payload = orjson.dumps(body)
    given = {
        "x-shopify-topic": topic,
        "x-shopify-triggered-at": f"2026-11-01T12:{minute:02}:00.123456789Z",
        "x-shopify-webhook-id": hashlib.sha256(payload).hexdigest(),
        "x-shopify-hmac-sha256": in_base64(SECRET, payload),
        **headers,
    }
    return request(payload, headers={name: text for name, text in given.items() if text})


class TestShopify(InboundSuite):
    """Webhooks, signed over the raw body."""

    type = "shopify"
    source: ClassVar[dict[str, Any]] = {"signing_secrets": SECRET}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "orders.paid.short.json": [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=at("22:58:21.978733"),
                event_key="94c7938d-b037-48f8-8216-35044f5f7d28",
                business_key=ORDER,
                livemode=False,
                learner=JON,
                items=(line(FIRST), line(SECOND)),
                order=Order(
                    number="#9999",
                    status="voided",
                    total=Decimal("388.00"),
                    currency="USD",
                    coupon=None,
                    payment_method="visa",
                    refs=(ORDER,),
                ),
            )
        ],
        REFUNDED: [],  # it has no transaction
        DISPUTED: [
            EnrollmentCommand(
                action=Action.SUSPEND,
                occurred_at=at("22:53:01.347294"),
                event_key="de223297-2feb-430f-85f0-b77163e4c269",
                business_key=ORDER,
                livemode=False,
            )
        ],
        "subscription_billing_attempts.success.hookdeck.json": [],
        "subscription_contracts.cancel.hookdeck.json": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=at("23:04:15.455046"),
                event_key="d1fa51a9-4686-49b1-af69-e26694e736a7",
                business_key="1",
                livemode=False,
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        body, headers = captured(orjson.loads(payload))
        return request(body, headers={**headers, "x-shopify-hmac-sha256": in_base64(SECRET, body)})

    def places(self) -> list[InboundEvent]:
        return [self.load(DISPUTED)]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = event.headers["x-shopify-hmac-sha256"]
        wrong = {
            "empty": "",
            "of another secret": in_base64("another", event.body),
            "in hex": base64.b64decode(good).hex(),
            "without its padding": good.rstrip("="),
        }
        return {
            **{how: self.with_header(event, "x-shopify-hmac-sha256", text) for how, text in wrong.items()},
            "absent": replace(event, headers={}),
            "in the query": replace(event, headers={}, query={"x-shopify-hmac-sha256": good}),
            "of another body": replace(event, body=event.body + b" "),
        }

    def with_header(self, event: InboundEvent, name: str, text: str) -> InboundEvent:
        return replace(event, headers={**event.headers, name: text})

    def said(self, name: str, **changes: Any) -> Any:
        """The body of a captured file, of a live order, changed."""
        file = orjson.loads((PAYLOADS / self.type / name).read_bytes())
        return {**file["body"], "test": False, **changes}

    def the(self, event: InboundEvent, **settings: Any) -> EnrollmentCommand:
        (command,) = self.adapter(**settings).normalise(event)
        assert isinstance(command, EnrollmentCommand)
        return command

    def faults(self, event: InboundEvent) -> list[str]:
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(event)
        return list(invalid.value.faults)

    def refund(self, *lines: int, minute: int = 10, transactions: Any = BACK, quantity: int = 1) -> InboundEvent:
        """A refund of these lines of the captured refund, with money."""
        body = self.said(REFUNDED)
        returned = [{**body["refund_line_items"][place], "quantity": quantity} for place in lines]
        return sent("refunds/create", {**body, "refund_line_items": returned, "transactions": transactions}, minute)

    def test_the_signed_example_is_accepted(self) -> None:
        """The secret is used as text."""
        [(event, example)] = signed_examples(self.type)
        assert not refused(self.adapter(signing_secrets=example["secret"]), event)
        assert refused(self.adapter(signing_secrets="another"), event)

    @given(data=st.data())
    @ALTERATIONS
    def test_any_alteration_breaks_the_signature(self, data: st.DataObject) -> None:
        """Of the body, or of the signature."""
        event = self.load(DISPUTED)
        assert refused(self.adapter(), replace(event, body=data.draw(altered(event.body))))
        signature = data.draw(altered_text(event.headers["x-shopify-hmac-sha256"]))
        assert refused(self.adapter(), self.with_header(event, "x-shopify-hmac-sha256", signature))

    def test_takes_both_secrets_while_they_rotate(self) -> None:
        """The shop's own webhooks and an app's have different ones, too."""
        adapter = self.adapter(signing_secrets=["new", "old"])
        for secret, wanted in {"new": False, "old": False, SECRET: True}.items():
            event = self.with_header(self.load(PAID), "x-shopify-hmac-sha256", "")
            signed = self.with_header(event, "x-shopify-hmac-sha256", in_base64(secret, event.body))
            assert refused(adapter, signed) is wanted

    def test_the_captured_order_is_understood_in_full(self) -> None:
        """The suite goes through a shorter one."""
        assert [self.the(self.load(PAID))] == self.captured["orders.paid.short.json"]

    def test_the_captured_cancellation_is_of_the_whole_order(self) -> None:
        """Its body is that of the purchase: the suite goes through that one."""
        assert self.the(self.load(CANCELLED)) == EnrollmentCommand(
            action=Action.CANCEL,
            occurred_at=at("22:57:52.338800"),
            event_key="489eb7a0-7c94-4ea2-b7be-db3531ef5cb7",
            business_key=ORDER,
            livemode=False,
        )

    def test_the_topic_decides_and_not_the_body(self) -> None:
        """One and the same body buys or cancels."""
        body = self.said(PAID)
        assert body == self.said(CANCELLED)
        assert (body["financial_status"], body["cancelled_at"] is not None) == ("voided", True)
        assert self.the(sent("orders/paid", body)).action is Action.ENROLL
        assert self.the(sent("orders/cancelled", body)).action is Action.CANCEL

    @pytest.mark.parametrize("status", ["pending", "authorized", "partially_paid", "voided", "refunded", "", None])
    def test_a_new_order_counts_only_when_it_is_paid(self, status: str | None) -> None:
        """Otherwise ``orders/paid`` tells of it later."""
        assert self.adapter().normalise(sent("orders/create", self.said(PAID, financial_status=status))) == []
        bought = self.the(sent("orders/create", self.said(PAID, financial_status="paid")))
        assert (bought.action, bought.business_key) == (Action.ENROLL, ORDER)

    @pytest.mark.parametrize(
        "topic",
        ["customers/data_request", "customers/redact", "shop/redact", "orders/updated", "orders/fulfilled", "app/x"],
    )
    def test_other_topics_are_of_no_use(self, topic: str) -> None:
        """The privacy topics, which every app must take, among them."""
        assert self.adapter().normalise(sent(topic, {"shop_id": 1})) == []

    def test_without_a_topic_nothing_is_understood(self) -> None:
        """A proxy has dropped the header: somebody has to look."""
        assert self.faults(sent("", self.said(PAID))) == ["X-Shopify-Topic"]

    @pytest.mark.parametrize(
        ("header", "body", "live"),
        [("", False, True), ("true", False, False), ("", True, False), ("false", None, True)],
    )
    def test_a_test_order_is_marked_in_the_header_or_in_the_body(self, header: str, body: Any, live: bool) -> None:
        """Test sends by the header, orders of the bogus gateway by the body."""
        event = sent("orders/paid", self.said(PAID, test=body), **{"x-shopify-test": header})
        assert self.the(event).livemode is live

    def test_large_ids_stay_exact(self) -> None:
        """Beyond what JavaScript can count."""
        body = self.said(PAID, id=820982911946154508)
        body["line_items"][0]["id"] = 9223372036854775807
        bought = self.the(sent("orders/paid", body))
        assert (bought.business_key, bought.items[0].line) == ("820982911946154508", "9223372036854775807")

    def test_without_an_id_of_the_delivery_topic_and_body_tell(self) -> None:
        """The same for the same occurrence, another for another one."""
        nothing = {"x-shopify-webhook-id": ""}
        events = [
            sent("orders/paid", self.said(PAID), **nothing),
            sent("orders/cancelled", self.said(PAID), **nothing),
            replace(self.refund(0), headers={"x-shopify-topic": "refunds/create"}),
            sent("disputes/update", self.said(DISPUTED), **nothing),
            sent("disputes/update", self.said(DISPUTED, status="won"), **nothing),
        ]
        assert [self.the(event).event_key for event in events] == [
            f"orders/paid:{ORDER}",
            f"orders/cancelled:{ORDER}",
            "refunds/create:890088186047892400",
            "disputes/update:285332461850802050:under_review",
            "disputes/update:285332461850802050:won",
        ]

    def test_without_a_time_of_the_delivery_the_body_tells_it(self) -> None:
        """Else the time of receipt."""
        nothing = {"x-shopify-triggered-at": ""}
        told = datetime(2022, 1, 1, tzinfo=UTC)
        assert self.the(sent("orders/paid", self.said(PAID), **nothing)).occurred_at == told
        assert self.the(sent("disputes/create", self.said(DISPUTED), **nothing)).occurred_at == told
        ended = self.said(DISPUTED, status="lost", finalized_on="2022-02-01T00:00:00Z")
        lost = self.the(sent("disputes/update", ended, **nothing))
        assert lost.occurred_at == datetime(2022, 2, 1, tzinfo=UTC)
        assert self.the(sent("orders/paid", self.said(PAID, updated_at="?"), **nothing)).occurred_at == RECEIVED

    def test_the_e_mail_is_the_orders_then_the_contacts_then_the_customers(self) -> None:
        """They may all be different."""
        customer = {**self.said(PAID)["customer"], "email": "c@example.org"}
        addresses = {"email": "a@example.org", "contact_email": "b@example.org", "customer": customer}
        found = []
        for missing in ({}, {"email": None}, {"email": "", "contact_email": None}):
            learner = self.the(sent("orders/paid", self.said(PAID, **{**addresses, **missing}))).learner
            assert learner is not None
            found.append(learner.email)
        assert found == ["a@example.org", "b@example.org", "c@example.org"]
        nobody = self.said(PAID, email=None, contact_email=None, customer=None)
        assert self.faults(sent("orders/paid", nobody)) == ["email"]

    def test_the_name_is_the_customers_else_the_bills(self) -> None:
        """A guest has no account."""
        learner = self.the(sent("orders/paid", self.said(PAID, customer=None))).learner
        assert learner is not None
        assert (learner.first_name, learner.last_name, learner.attributes) == ("Steve", "Shipper", {})

    @pytest.mark.parametrize(
        ("field", "empty", "wanted"),
        [
            ("product_id", (), "632910392"),
            ("product_id", ("product_id",), "808950810"),
            ("variant_id", (), "808950810"),
            ("variant_id", ("variant_id",), "632910392"),
            ("sku", (), "IPOD2008PINK"),
            ("sku", ("sku",), "808950810"),
            ("sku", ("sku", "product_id", "variant_id"), "IPod Nano - 8GB"),
        ],
    )
    def test_the_operator_says_which_field_is_the_product(self, field: str, empty: Sequence[str], wanted: str) -> None:
        """Each of them may be empty: in a tip, or in a line typed by hand."""
        body = self.said(PAID)
        body["line_items"][0] |= dict.fromkeys(empty)
        bought = self.the(sent("orders/paid", body), product_field=field)
        assert bought.items[0].remote_product_id == wanted

    def test_a_line_that_cannot_be_read_does_not_sink_the_others(self) -> None:
        """It waits by itself."""
        body = self.said(PAID)
        body["line_items"][0] = {"id": 7, "quantity": 1}
        bought, bad = self.adapter().normalise(sent("orders/paid", body))
        assert isinstance(bought, EnrollmentCommand)
        assert [item.line for item in bought.items] == [SECOND]
        assert bad == Unreadable("7", {"line_items.0.product_id": "is missing"})
        assert self.faults(sent("orders/paid", self.said(PAID, line_items=[]))) == ["line_items"]

    def test_a_line_that_was_removed_before_it_was_paid_is_not_bought(self) -> None:
        """Nothing is left of it."""
        body = self.said(PAID)
        body["line_items"][0]["current_quantity"] = 0
        body["line_items"][1] |= {"quantity": 3, "current_quantity": 2}
        (item,) = self.the(sent("orders/paid", body)).items
        assert (item.line, item.quantity) == (SECOND, 2)

    def test_a_line_costs_its_price_without_its_discounts(self) -> None:
        """The order's share counts where it is told, else the line's own."""
        body = self.said(PAID, discount_codes=[{"code": "SUMMER", "amount": "15.00"}])
        body["line_items"][0] |= {"quantity": 2, "total_discount": "5.00"}
        body["line_items"][1] |= {
            "total_discount": "0.00",
            "discount_allocations": [{"amount": "9.95"}, {"amount": "1"}],
        }
        bought = self.the(sent("orders/paid", body))
        assert [item.amount_paid for item in bought.items] == [Decimal("393.00"), Decimal("188.05")]
        assert bought.order.coupon == "SUMMER"

    def test_a_refund_without_money_only_puts_goods_back(self) -> None:
        """So does one whose money did not go through; one that is on its way counts, as nothing tells of it later."""
        assert self.adapter().normalise(self.refund(0, transactions=[])) == []
        assert self.adapter().normalise(self.refund(0, transactions=[{"status": "failure"}])) == []
        pending = self.the(self.refund(0, transactions=[{"status": "failure"}, {"status": "pending"}]))
        assert [item.line for item in pending.items] == [FIRST]

    def test_a_refund_names_its_lines(self) -> None:
        """By the id of the order's line, and with the product, also where that is null."""
        refunded = self.the(self.refund(1))
        assert (refunded.action, refunded.refund, refunded.business_key) == (Action.REFUND, Refund(full=False), ORDER)
        assert refunded.items == (Item(remote_product_id="632910392", line=SECOND),)

    def test_a_refund_of_money_or_of_some_seats_is_only_noted(self) -> None:
        """Nobody says whose access it is for."""
        seats = orjson.loads(self.refund(0).body)
        seats["refund_line_items"][0]["line_item"]["quantity"] = 2
        for event in (self.refund(), sent("refunds/create", seats)):
            refunded = self.the(event)
            assert (refunded.refund, refunded.items) == (Refund(full=False), ())
        seats["refund_line_items"][0]["line_item"]["current_quantity"] = 0
        assert [item.line for item in self.the(sent("refunds/create", seats)).items] == [FIRST]

    @pytest.mark.parametrize(
        ("status", "kind", "action"),
        [
            ("needs_response", "chargeback", Action.SUSPEND),
            ("under_review", "chargeback", Action.SUSPEND),
            ("won", "chargeback", Action.RESUME),
            ("lost", "chargeback", Action.CANCEL),
            ("accepted", "chargeback", Action.CANCEL),
            ("charge_refunded", "chargeback", None),
            ("needs_response", "inquiry", None),
        ],
    )
    def test_a_dispute_is_read_by_its_status(self, status: str, kind: str, action: Action | None) -> None:
        """An inquiry takes no money."""
        for topic in ("disputes/create", "disputes/update"):
            found = self.adapter().normalise(sent(topic, self.said(DISPUTED, status=status, type=kind)))
            assert [command.action for command in found if isinstance(command, EnrollmentCommand)] == (
                [action] if action else []
            )

    async def test_a_refund_takes_away_only_its_lines(self, tmp_path: Path) -> None:
        """Bought once however often it is told; the second refund ends the rest."""
        paid = sent("orders/paid", self.said(PAID))
        created = sent("orders/create", self.said(PAID, financial_status="paid"))
        async with shop(tmp_path, self.adapter(), "632910392") as world:
            await world.receive(
                created, paid, paid, replace(paid, headers={**paid.headers, "x-shopify-webhook-id": "?"})
            )
            assert await world.lines() == {FIRST: "live", SECOND: "live"}
            await world.receive(self.refund(), self.refund(1, transactions=[]), self.refund(0, quantity=0))
            assert await world.lines() == {FIRST: "live", SECOND: "live"}
            await world.receive(self.refund(1), self.refund(1))
            assert await world.lines() == {FIRST: "live", SECOND: "cancelled"}
            await world.receive(replace(paid, headers={**paid.headers, "x-shopify-webhook-id": "later"}))
            assert await world.lines() == {FIRST: "live", SECOND: "cancelled"}
            await world.receive(self.refund(0, minute=11))
            assert await world.lines() == {FIRST: "cancelled", SECOND: "cancelled"}
            assert await world.waiting() == []

    async def test_a_refund_that_comes_first_waits_for_its_order(self, tmp_path: Path) -> None:
        """And ends what it names, once that is bought."""
        async with shop(tmp_path, self.adapter(), "632910392") as world:
            await world.receive(self.refund(1))
            assert await world.waiting() == ["early"]
            await world.receive(sent("orders/paid", self.said(PAID)))
            assert await world.lines() == {FIRST: "live", SECOND: "cancelled"}
            assert await world.waiting() == []

    async def test_disputes_and_cancellations_concern_the_whole_order(self, tmp_path: Path) -> None:
        """Found by the order's id alone."""
        async with shop(tmp_path, self.adapter(), "632910392") as world:
            await world.receive(sent("orders/paid", self.said(PAID)))
            for minute, (topic, body, wanted) in enumerate(
                (
                    ("disputes/create", self.said(DISPUTED), "suspended"),
                    ("disputes/update", self.said(DISPUTED, status="won"), "live"),
                    ("orders/cancelled", self.said(CANCELLED, note="ended"), "cancelled"),
                ),
                start=1,
            ):
                await world.receive(sent(topic, body, minute))
                assert set((await world.lines()).values()) == {wanted}

    async def test_test_orders_count_only_in_test_mode(self, tmp_path: Path) -> None:
        """And then only those."""
        live, bogus = sent("orders/paid", self.said(PAID)), self.load(PAID)
        for mode, wanted in ((True, bogus), (False, live)):
            folder = tmp_path / str(mode)
            folder.mkdir()
            async with shop(folder, self.adapter(), "632910392", test_mode=mode) as world:
                receptions = await world.receive(live, bogus)
                assert [answer.kind for answer in receptions] == [
                    "accepted" if event is wanted else "ignored" for event in (live, bogus)
                ]
