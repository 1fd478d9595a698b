"""FastSpring as a source: the suite, then what only this sender says."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent, Unreadable
from tests.connectors.inbound.payments_rig import ALTERATIONS, altered, altered_text, shop
from tests.suites.inbound import PAYLOADS, InboundSuite, refused, request

SECRET = "fs-secret"
ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace", phone="2222222222")
ORDER = "9qflPQrkR76oKDLObXguyg"
INTRO = Item(remote_product_id="intro", amount_paid=Decimal("100.0"), currency="USD")
WORKBOOK = Item(remote_product_id="workbook", quantity=2, amount_paid=Decimal("20.5"), currency="USD")


def signed(body: bytes, secret: str = SECRET) -> InboundEvent:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return request(body, headers={"x-fs-signature": base64.b64encode(digest).decode()})


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class TestFastspring(InboundSuite):
    """Posts with many events, signed over the raw body."""

    type = "fastspring"
    source: ClassVar[dict[str, Any]] = {"signing_secrets": SECRET}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "orders.json": [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=at(1505180769638),
                event_key="J5MhLkZdQmGgPOI2Fb1Xhw",
                business_key=ORDER,
                learner=ADA,
                items=(INTRO, WORKBOOK),
                order=Order(
                    number=ORDER,
                    total=Decimal("120.5"),
                    currency="USD",
                    payment_method="card",
                    refs=("SOF170912-7652-55291",),
                ),
            )
        ],
        "return.json": [
            EnrollmentCommand(
                action=Action.REFUND,
                occurred_at=at(1505765983299),
                event_key="return:qWIaFaLlRgu6NYs7MgHkGA",
                business_key=ORDER,
                refund=Refund(full=True),
                order=Order(number=ORDER, refs=("SOF170912-7652-55291",)),
            )
        ],
        "renewal.json": [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=at(1749715810183),
                event_key="ev-renewal",
                business_key="NRlOHP0TSM6MwxzPMoc-dg",
                learner=ADA,
                items=(INTRO,),
                order=Order(
                    number="NRlOHP0TSM6MwxzPMoc-dg",
                    total=Decimal("100.0"),
                    currency="USD",
                    payment_method="card",
                    subscription_id="sub-1",
                    refs=("ABC123456-7891-01112",),
                ),
                options=Options(expires_at=at(1752307810000) + timedelta(days=3)),
            )
        ],
        "endings.json": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=at(1752307811000),
                event_key="ev-end",
                order=Order(subscription_id="sub-1"),
            ),
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=at(1752307812000),
                event_key="ev-canceled",
                business_key="o-2",
                order=Order(number="o-2"),
            ),
            EnrollmentCommand(
                action=Action.SUSPEND,
                occurred_at=at(1752307813000),
                event_key="ev-chargeback",
                business_key="o-3",
                order=Order(number="o-3"),
            ),
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return signed(payload)

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = event.headers["x-fs-signature"]
        raw = base64.b64decode(good)
        spelled_otherwise = good[:-2] + chr(ord(good[-2]) + 1) + "="
        wrong = {
            "empty": "",
            "cut": good[:-1],
            "in hex": raw.hex(),
            "spelled otherwise": spelled_otherwise,
            "of another secret": signed(event.body, "other").headers["x-fs-signature"],
        }
        return {
            **{how: replace(event, headers={"x-fs-signature": text}) for how, text in wrong.items()},
            "absent": replace(event, headers={}),
            "of another body": replace(event, body=event.body + b" "),
        }

    def told(self, name: str, change: Callable[[dict[str, Any]], object]) -> InboundEvent:
        """The post of a file, with its first event changed."""
        event = self.load(name)
        said = event.json
        change(said["events"][0])
        return replace(event, body=orjson.dumps(said))

    def the(self, name: str, change: Callable[[dict[str, Any]], object], **settings: Any) -> Any:
        return self.adapter(**settings).normalise(self.told(name, change))[0]

    def test_the_vector_of_the_facts_is_accepted(self) -> None:
        """The secret is used as text."""
        vector = orjson.loads((PAYLOADS / self.type / "vector.json").read_bytes())
        headers = {name.lower(): value for name, value in vector["headers"].items()}
        event = request(base64.b64decode(vector["body_b64"]), headers=headers)
        assert not refused(self.adapter(signing_secrets=vector["secret"]), event)
        assert refused(self.adapter(signing_secrets="another"), event)

    @given(data=st.data())
    @ALTERATIONS
    def test_any_alteration_breaks_the_signature(self, data: st.DataObject) -> None:
        """Of the body, or of the signature."""
        event = self.load("orders.json")
        assert refused(self.adapter(), replace(event, body=data.draw(altered(event.body))))
        signature = data.draw(altered_text(event.headers["x-fs-signature"]))
        assert refused(self.adapter(), replace(event, headers={"x-fs-signature": signature}))

    def test_takes_both_secrets_while_they_change(self) -> None:
        """The new one first."""
        adapter = self.adapter(signing_secrets=["new", "old"])
        for secret, wanted in {"new": False, "old": False, SECRET: True}.items():
            assert refused(adapter, signed(b"{}", secret)) is wanted

    def test_one_bad_event_does_not_sink_the_others(self) -> None:
        """It is named by its id, else by its place."""
        said = self.load("orders.json").json
        good = said["events"][0]
        bad = {**good, "id": "bad", "data": {**good["data"], "items": []}}
        nameless = {**bad, "id": None, "data": {**good["data"], "customer": {}}}
        found = self.adapter().normalise(signed(orjson.dumps({"events": [bad, good, nameless, 7]})))
        assert found == [
            Unreadable("bad", {"data.items": "is missing or empty"}),
            *self.captured["orders.json"],
            Unreadable("2", {"events.2.data.customer.email": "is missing"}),
        ]

    def test_a_post_without_events_is_no_post(self) -> None:
        """Only that makes the whole of it unreadable."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(signed(b'{"events": {}}'))
        assert list(invalid.value.faults) == ["events"]

    def test_a_test_order_says_so(self) -> None:
        """Either the event or the order does."""
        assert self.the("orders.json", lambda event: event.update(live=False)).livemode is False
        assert self.the("orders.json", lambda event: event["data"].update(live=False)).livemode is False

    @pytest.mark.parametrize(("live", "test_mode"), [(True, True), (False, False)])
    def test_an_order_that_is_left_out_is_never_unreadable(self, live: bool, test_mode: bool) -> None:
        """Nobody wants to see it in quarantine."""
        event = self.told("orders.json", lambda event: event.update(live=live, data={}))
        assert self.adapter(test_mode=test_mode).normalise(event) == []
        assert len(self.adapter(test_mode=not test_mode).normalise(event)) == 1

    def test_a_gift_is_the_recipients(self) -> None:
        """Not the customer's, who pays."""
        bob = [{"recipient": {"first": "Bob", "last": "Best", "email": "bob@example.org"}}]
        command = self.the("orders.json", lambda event: event["data"].update(recipients=bob))
        assert command.learner == Learner(email="bob@example.org", first_name="Bob", last_name="Best")

    def test_a_product_may_be_known_by_its_sku(self) -> None:
        """By its path where it has none."""
        command = self.the("orders.json", lambda event: None, sold_by="sku")
        assert [item.remote_product_id for item in command.items] == ["INTRO-1", "workbook"]

    def test_a_return_of_a_part_ends_the_products_that_it_names(self) -> None:
        """Unless the seller only wants it noted."""

        def part(event: dict[str, Any]) -> None:
            event["data"].update(totalReturn=20.5, items=event["data"]["items"][1:])

        command = self.the("return.json", part)
        workbooks = WORKBOOK.model_copy(update={"returned": 2})
        assert (command.refund, command.items) == (Refund(full=False), (workbooks,))
        command = self.the("return.json", part, partial_returns="note")
        assert (command.refund, command.items) == (Refund(full=False), ())

    def part_of_the_workbooks(self, **said: Any) -> InboundEvent:
        """A return of what the second line says of itself."""

        def part(event: dict[str, Any]) -> None:
            workbooks = {**event["data"]["items"][1], **said}
            event["data"].update(totalReturn=workbooks["subtotal"], items=[workbooks])

        return self.told("return.json", part)

    @pytest.mark.parametrize("said", [{"quantity": 0}, {"quantity": 0, "refundType": "Partial Refund"}])
    async def test_a_part_of_the_price_that_is_given_back_puts_nobody_out(self, tmp_path: Path, said: Any) -> None:
        """A return of no unit: FastSpring's word for an amount."""
        event = self.part_of_the_workbooks(subtotal=5.0, **said)
        async with shop(tmp_path, self.adapter(), "intro", "workbook") as world:
            await world.receive(self.load("orders.json"), event)
            assert await world.intents() == ["live", "live"]
            assert await world.waiting() == 0

    def test_an_amount_without_a_quantity_is_a_part_where_it_is_called_so(self) -> None:
        """Else it is the whole of the line, as in old events."""
        for kind, wanted in (("Partial Refund", 0), ("Full Refund", 1), (None, 1)):
            event = self.part_of_the_workbooks(quantity=None, refundType=kind)
            assert len(self.adapter().normalise(event)[0].items) == wanted

    async def test_one_of_two_units_that_comes_back_leaves_the_other(self, tmp_path: Path) -> None:
        """However often the return is sent by hand; the second one takes the line back."""
        one = self.part_of_the_workbooks(quantity=1, subtotal=10.25)
        by_hand = self.again(one, "by-hand")
        second = self.again(one, "second", **{"return": "another"})
        async with shop(tmp_path, self.adapter(), "intro", "workbook") as world:
            await world.receive(self.load("orders.json"), one, by_hand)
            assert await world.intents() == ["live", "live"]
            await world.receive(second)
            assert await world.intents() == ["live", "cancelled"]

    def again(self, event: InboundEvent, event_id: str, **data: Any) -> InboundEvent:
        said = orjson.loads(event.body)
        said["events"][0]["id"] = event_id
        said["events"][0]["data"].update(data)
        return replace(event, body=orjson.dumps(said))

    def test_a_charge_that_holds_ids_only_waits(self) -> None:
        """The operator is told what to switch on."""
        found = self.the("renewal.json", lambda event: event["data"].update(order="o-1"))
        assert found == Unreadable(
            "ev-renewal", {"data.order": "is only an id; enable webhook expansion at FastSpring"}
        )

    @pytest.mark.parametrize("subscription", ["sub-9", {"id": "sub-9"}, {"subscription": "sub-9"}])
    def test_a_line_names_its_subscription(self, subscription: Any) -> None:
        """By its id, or by the object that webhook expansion makes of it; what stands beside it is not the subscription's."""
        event = self.told("orders.json", lambda event: event["data"]["items"][1].update(subscription=subscription))
        commands = [found for found in self.adapter().normalise(event) if isinstance(found, EnrollmentCommand)]
        named = {item.remote_product_id: found.order.subscription_id for found in commands for item in found.items}
        assert (named["intro"], named["workbook"]) == (None, "sub-9")

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1), (1, 2, 0)])
    async def test_an_order_is_one_purchase_however_often_it_is_sent(self, tmp_path: Path, order: Any) -> None:
        """By hand it is sent under a new id, even after it was returned."""
        by_hand = self.told("orders.json", lambda event: event.update(id="by-hand", created=1605765983299))
        events = [self.load("orders.json"), self.load("return.json"), by_hand]
        async with shop(tmp_path, self.adapter(), "intro", "workbook") as world:
            await world.receive(*(events[place] for place in order))
            assert await world.intents() == ["cancelled", "cancelled"]
            assert await world.waiting() == 0

    @pytest.mark.parametrize("name", ["orders.json", "renewal.json"])
    async def test_an_order_that_is_not_completed_lets_nobody_in(self, tmp_path: Path, name: str) -> None:
        """Until it is: then it lets in once, however often either is sent; one that says nothing of it is completed."""

        def sent(event_id: str, **said: Any) -> InboundEvent:
            def change(event: dict[str, Any]) -> None:
                event["id"] = event_id
                order = event["data"] if name == "orders.json" else event["data"]["order"]
                order.pop("completed", None)
                order.update(said)

            return self.told(name, change)

        pending, done = sent("pending", completed=False), sent("done", completed=True)
        async with shop(tmp_path, self.adapter(), "intro", "workbook") as world:
            await world.receive(pending, sent("in words", completed="false"))
            lines = len(await world.intents())
            assert (await world.intents(), await world.granted()) == (["suspended"] * lines, 0)
            await world.receive(done, sent("done by hand", completed=True), sent("pending by hand", completed=False))
            assert (await world.intents(), await world.granted()) == (["live"] * lines, lines)
        assert self.the(name, lambda event: event.update(sent("silent").json["events"][0])).paid

    async def test_a_renewal_is_a_purchase_of_its_own_until_the_subscription_ends(self, tmp_path: Path) -> None:
        """The first order's line belongs to the subscription, too; what was bought beside it does not."""
        first = self.told("orders.json", lambda event: event["data"]["items"][0].update(subscription="sub-1"))
        async with shop(tmp_path, self.adapter(), "intro", "workbook") as world:
            await world.receive(first, self.load("renewal.json"))
            assert await world.intents() == ["live", "live", "live"]
            await world.receive(self.load("endings.json"))
            assert await world.intents() == ["cancelled", "live", "cancelled"]
