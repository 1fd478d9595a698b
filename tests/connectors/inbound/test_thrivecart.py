"""ThriveCart as a source: the suite, then what only this sender says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import Handshakes, InboundEvent
from bridge.intake.blank import stored_body
from tests.connectors.inbound.sellers_rig import ALTERATIONS, altered, shop
from tests.suites.inbound import PAYLOADS, RECEIVED, InboundSuite, refused, request

SECRET = "REDACTEDSECRET"
JANE = Learner(email="jane.buyer@example.com", first_name="Jane", last_name="Buyer")
SUBSCRIPTIONS = ("subscription:sub_1OALTiD8ltzmnnomYVvKqjze", "subscription:3498819")
CHARGE = "ch_3OALTjD8ltzmnnom0bR4w3lq"


def told(action: Action, key: str, **more: Any) -> EnrollmentCommand:
    return EnrollmentCommand.model_validate(
        {"action": action, "event_key": key, "occurred_at": RECEIVED, "livemode": False, **more}
    )


def bought(key: str, charge: str, due: int, **more: Any) -> EnrollmentCommand:
    return told(
        Action.ENROLL,
        key,
        learner=JANE,
        items=(Item(remote_product_id="product-12", amount_paid=Decimal("4997.00"), currency="USD"),),
        order=Order(
            number="23370556",
            total=Decimal("4997.00"),
            currency="USD",
            payment_method="stripe_v2",
            transaction_id=charge,
            subscription_id="sub_1OALTiD8ltzmnnomYVvKqjze",
            refs=(charge, *SUBSCRIPTIONS),
        ),
        options=Options(expires_at=datetime.fromtimestamp(due, UTC) + timedelta(days=3)),
        **more,
    )


ORDERED = bought(
    "order.success:23370556:000001382:KEY",
    CHARGE,
    1731109699,
    business_key="order:23370556",
    occurred_at=datetime.fromtimestamp(1699487300, UTC),
)


class TestThrivecart(InboundSuite):
    """Webhooks with the account's secret word in the body."""

    type = "thrivecart"
    source: ClassVar[dict[str, Any]] = {"secret": SECRET}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "order.success.json": [ORDERED],
        "order.subscription_payment.json": [
            bought(
                "order.subscription_payment:23370556:000001499:KEY",
                "ch_second",
                1762645699,
                business_key="order:23370556:000001499",
            )
        ],
        "order.subscription_cancelled.form.txt": [
            told(
                Action.CANCEL,
                "order.subscription_cancelled:23370556:000001382:KEY",
                items=(Item(remote_product_id="product-12"),),
                order=Order(refs=SUBSCRIPTIONS),
                at_period_end=True,
            )
        ],
        "order.refund.json": [
            told(
                Action.REFUND,
                "order.refund:23370556:000001382:KEY",
                refund=Refund(full=False),
                items=(Item(remote_product_id="product-12"),),
                order=Order(number="23370556", refs=(CHARGE,)),
            )
        ],
        "affiliate.commission_earned.json": [],
    }

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        wrong = {
            repr(text): replace(event, body=event.body.replace(SECRET.encode(), text))
            for text in (b"", b"REDACTEDSECRE", b"redactedsecret", b"%20REDACTEDSECRET", b"null")
        }
        return {
            **wrong,
            "absent": replace(event, body=event.body.replace(b"thrivecart_secret", b"thrivecart_sacred")),
            "in a list": request(b"thrivecart_secret[]=REDACTEDSECRET"),
            "no text": request(orjson.dumps({"thrivecart_secret": [SECRET]})),
            "deeper": request(orjson.dumps({"order": {"thrivecart_secret": SECRET}})),
            "in the query": replace(event, body=b"event=order.success", query={"thrivecart_secret": SECRET}),
            "in a body that can't be read": request(b'{"thrivecart_secret": "REDACTEDSECRET"'),
            "in bytes that are no text": request(b"thrivecart_secret=REDACTEDSECRET&a=\xff"),
        }

    def test_captured_payloads_become_exactly_the_expected_commands(self) -> None:
        """All of them; the end of the event's key, which is a digest of what it says, is looked at for itself."""
        for name, expected in self.captured.items():
            found = [
                command.model_copy(update={"event_key": (command.event_key or "")[:-16] + "KEY"})
                for command in self.adapter().normalise(self.load(name))
            ]
            assert found == list(expected), name

    def changed(self, name: str, /, **changes: Any) -> InboundEvent:
        return request(orjson.dumps(orjson.loads(self.load(name).body) | changes))

    def the(self, event: InboundEvent) -> EnrollmentCommand:
        (command,) = self.adapter().normalise(event)
        return command

    def test_form_and_json_mean_the_same(self) -> None:
        """The newer subscriptions to events post JSON."""
        form, body = self.load("order.success.derived.form.txt"), self.load("order.success.json")
        self.adapter().verify(form)
        assert self.the(form) == self.the(body)
        assert self.the(form).event_key == self.the(body).event_key

    def test_takes_both_secrets_while_they_change(self) -> None:
        """There is one secret word for the whole account."""
        event = self.load("order.success.json")
        assert not refused(self.adapter(secret=["new", SECRET]), event)
        assert refused(self.adapter(secret=["new", "newer"]), event)

    @given(data=st.data())
    @ALTERATIONS
    def test_another_secret_word_is_refused(self, data: st.DataObject) -> None:
        """Whichever character of it is another one."""
        shown = data.draw(altered(SECRET.encode()))
        assert refused(self.adapter(), request(urlencode({"thrivecart_secret": shown}).encode()))

    @pytest.mark.parametrize("kind", ["", "application/x-www-form-urlencoded", "application/json", "text/plain"])
    @pytest.mark.parametrize("name", ["order.success.derived.form.txt", "order.success.json"])
    def test_the_secret_word_is_not_kept(self, name: str, kind: str) -> None:
        """As a form field with or without escapes, or in JSON, whatever the header says."""
        fields = self.adapter().credential_fields
        event = self.load(name)
        for body in (event.body, event.body.replace(b"thrivecart_secret", b"%74hrivecart%5Fsecret")):
            sent = replace(event, body=body, headers={"content-type": kind} if kind else {})
            if not refused(self.adapter(), sent):
                assert SECRET not in stored_body(sent, fields, ())[0]

    @pytest.mark.parametrize("probe", [request(method="GET"), request(method="HEAD"), request(), request(b" \r\n")])
    def test_the_address_can_be_saved(self, probe: InboundEvent) -> None:
        """ThriveCart looks whether it answers 2xx, without a secret."""
        adapter = self.adapter()
        assert isinstance(adapter, Handshakes)
        hand = adapter.handshake(probe)
        assert hand is not None
        assert hand.status == 200
        assert set(adapter.methods) == {"GET", "POST"}

    def test_an_event_is_no_probe(self) -> None:
        """It is verified like any other."""
        adapter = self.adapter()
        assert isinstance(adapter, Handshakes)
        assert [adapter.handshake(event) for event in self.events()] == [None] * len(self.captured)

    def test_words_for_nothing_are_nothing(self) -> None:
        """Where a number or a name could stand."""
        customer = {"email": "a@example.org", "first_name": "null", "last_name": "false", "name": "O&#039;Hara Ann"}
        event = self.changed("order.success.json", customer=customer, subscriptions="null", transactions="null")
        command = self.the(event)
        assert command.learner == Learner(email="a@example.org", first_name="O'Hara", last_name="Ann")
        assert (command.order.transaction_id, command.order.refs) == (None, SUBSCRIPTIONS[1:])

    def test_an_escaped_address_is_what_it_stands_for(self) -> None:
        """Apostrophes are allowed in addresses."""
        learner = self.the(self.changed("order.success.json", customer={"email": "o&#039;hara@example.org"})).learner
        assert learner is not None
        assert learner.email == "o'hara@example.org"

    @pytest.mark.parametrize(
        ("changes", "live"),
        [
            ({"mode": "live", "mode_int": "2"}, True),
            ({"mode": "live", "mode_int": "1"}, False),
            ({"mode": "test", "mode_int": "2"}, False),
            ({"mode": "null", "mode_int": "null"}, True),
        ],
    )
    def test_test_mode_says_so(self, changes: dict[str, str], live: bool) -> None:
        """Test orders come to the same address."""
        assert self.the(self.changed("order.success.json", **changes)).livemode is live

    def several(self) -> InboundEvent:
        charges = [
            {"item_identifier": "product_12", "amount": "4900", "quantity": "1"},
            {"item_identifier": "bump_3", "amount": "1000", "quantity": "2"},
            {"item_identifier": "product_12", "amount": "100", "quantity": "1"},
        ]
        order = {
            "total": "6000",
            "charges": charges,
            "future_charges": [{"item_identifier": "product_12", "due": "2026-12-01 00:00:00"}],
        }
        return self.changed("order.success.json", order=order, purchase_map=["product-12", "bump-3", "bump-3"])

    def test_several_products_are_several_lines(self) -> None:
        """Of one purchase; a subscription's end is not the bump's."""
        first, second = self.adapter().normalise(self.several())
        assert first.business_key == second.business_key == "order:23370556"
        assert first.items == (Item(remote_product_id="product-12", amount_paid=Decimal("50.00"), currency="USD"),)
        assert second.items == (
            Item(remote_product_id="bump-3", quantity=2, amount_paid=Decimal("10.00"), currency="USD"),
        )
        assert first.options.expires_at == datetime(2026, 12, 4, tzinfo=UTC)
        assert second.options.expires_at is None
        assert (first.order.subscription_id, second.order.subscription_id) == ("sub_1OALTiD8ltzmnnomYVvKqjze", None)

    @pytest.mark.parametrize(
        ("changes", "product"),
        [
            ({"purchase_map": {"0": "upsell-2"}}, "upsell-2"),
            ({"purchase_map": "upsell-2"}, "upsell-2"),
            ({"purchase_map": "null"}, "product-12"),
            ({"purchase_map": [], "order": {"charges": [{"item_type": "bump", "reference": 3}]}}, "bump-3"),
            ({"purchase_map": [], "order": "null"}, "product-12"),
        ],
    )
    def test_the_product_is_written_with_a_hyphen(self, changes: dict[str, Any], product: str) -> None:
        """From the map, else from the charges, else the base product."""
        assert self.the(self.changed("order.success.json", **changes)).items[0].remote_product_id == product

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"order_id": "null"}, "order_id"),
            ({"customer": {}}, "customer.email"),
            ({"purchase_map": [], "order": {}, "base_product": ""}, "purchase_map"),
        ],
    )
    def test_a_fault_names_the_field(self, changes: dict[str, Any], field: str) -> None:
        """As ThriveCart writes it."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(self.changed("order.success.json", **changes))
        assert list(invalid.value.faults) == [field]

    @pytest.mark.parametrize(
        ("refund", "full", "products"),
        [
            ({"type": "full"}, True, []),
            ({"amount": "6000"}, True, []),
            ({"amount": "5999"}, False, []),
            ({"type": "partial"}, False, []),
            ({}, True, []),
            ({"item_identifier": "bump_3", "amount": "1000"}, False, ["bump-3"]),
            ({"item_identifier": "bump_3", "amount": "500"}, False, []),
            ({"item_identifier": "bump_3"}, False, ["bump-3"]),
            ({"item_type": "product", "id": "12", "amount": "5000"}, False, ["product-12"]),
        ],
    )
    def test_a_refund_takes_what_it_names(self, refund: dict[str, str], full: bool, products: list[str]) -> None:
        """A product, the order, or some money, which takes no access."""
        order = self.several().json["order"]
        command = self.the(self.changed("order.refund.json", refund=refund, order=order))
        assert command.refund == Refund(full=full)
        assert [item.remote_product_id for item in command.items] == products

    def test_another_occurrence_has_another_key(self) -> None:
        """The second refund of an order is not the first one again."""
        events = [
            self.load("order.success.json"),
            self.load("order.refund.json"),
            self.changed("order.refund.json", refund={"amount": "1"}),
            self.load("order.subscription_payment.json"),
            self.changed("order.subscription_payment.json", invoice_id="null", transactions={"product-12": "ch_third"}),
            self.changed("order.subscription_payment.json", invoice_id="null", transactions={"product-12": "ch_4th"}),
        ]
        assert len({self.the(event).event_key for event in events}) == len(events)
        assert len({self.the(event).business_key for event in events[3:]}) == 3

    @pytest.mark.parametrize("event", ["affiliate.commission_payout", "order.rebill_cancelled", "cart.abandoned", ""])
    def test_other_events_are_of_no_use(self, event: str) -> None:
        """An address gets all of them."""
        assert self.adapter().normalise(self.changed("order.success.json", event=event)) == []

    async def test_a_subscription_is_a_purchase_for_each_period_until_it_is_cancelled(self, tmp_path: Path) -> None:
        """Told twice each, once as a form and once as JSON."""
        first = self.load("order.success.derived.form.txt")
        second, end = self.load("order.subscription_payment.json"), self.load("order.subscription_cancelled.form.txt")
        async with shop(tmp_path, self.adapter(), "product-12", test_mode=True) as world:
            await world.receive(first, self.load("order.success.json"), second, second)
            assert await world.intents() == ["live", "live"]
            await world.receive(end, end)
            assert await world.intents() == ["cancelled", "cancelled"]

    @pytest.mark.parametrize("early", [False, True], ids=["after", "before"])
    async def test_a_refund_of_one_product_takes_that_one(self, tmp_path: Path, early: bool) -> None:
        """Also when it comes before the order."""
        live = {"mode": "live", "mode_int": "2", "subscriptions": "null", "subscription_ids": "null"}
        order = {**self.several().json["order"], "future_charges": []}
        bought_ = request(orjson.dumps(self.several().json | {"order": order} | live))
        back = self.changed("order.refund.json", refund={"item_identifier": "bump_3"}, order=order, **live)
        async with shop(tmp_path, self.adapter(), "product-12", "bump-3") as world:
            await world.receive(*([back, bought_] if early else [bought_, back]))
            assert await world.wanted() == {"product-12": "live", "bump-3": "cancelled"}
            assert await world.waiting() == 0


def test_the_form_is_the_json() -> None:
    """The derived sample was not changed on its way here."""
    folder = PAYLOADS / "thrivecart"
    pairs = dict(parse_qsl((folder / "order.success.derived.form.txt").read_text()))
    assert pairs["customer[email]"] == orjson.loads((folder / "order.success.json").read_bytes())["customer"]["email"]
