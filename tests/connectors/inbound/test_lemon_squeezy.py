"""Lemon Squeezy as a source: the suite, then what only this sender says."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent
from tests.connectors.inbound.sellers_rig import ALTERATIONS, altered, shop
from tests.suites.inbound import PAYLOADS, InboundSuite, refused, request

SECRET = "ls-secret"
ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace")


def signed(body: bytes, secret: str = SECRET, **headers: str) -> InboundEvent:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return request(body, headers={"x-signature": signature, **headers})


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=UTC)


def told(action: Action, key: str, when: str, **more: Any) -> EnrollmentCommand:
    return EnrollmentCommand(action=action, event_key=key, occurred_at=at(when), **more)


class TestLemonSqueezy(InboundSuite):
    """Webhooks, signed over the raw body."""

    type = "lemon_squeezy"
    source: ClassVar[dict[str, Any]] = {"signing_secrets": SECRET}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "order_created.json": [
            told(
                Action.ENROLL,
                "order_created:21:2026-11-20T10:00:02.000000Z",
                "20T10:00:00",
                business_key="order:21",
                learner=ADA,
                items=(Item(remote_product_id="12", amount_paid=Decimal("49.90"), currency="EUR"),),
                order=Order(
                    number="21",
                    status="paid",
                    total=Decimal("49.90"),
                    currency="EUR",
                    refs=("104e18a2-d755-4d4b-80c4-a6c1dcbe1c10", "7"),
                ),
            )
        ],
        "order_pending.json": [],
        "order_refunded.json": [
            told(
                Action.REFUND,
                "order_refunded:21:2026-11-21T09:00:01.000000Z",
                "21T09:00:00",
                business_key="order:21",
                refund=Refund(full=True),
                order=Order(number="21"),
            )
        ],
        "subscription_created.json": [
            told(
                Action.ENROLL,
                "subscription_created:41:2026-11-20T10:00:04.000000Z",
                "20T10:00:03",
                business_key="order:21",
                learner=ADA,
                items=(Item(remote_product_id="12"),),
                order=Order(number="21", status="active", subscription_id="41", refs=("subscription:41",)),
            )
        ],
        "subscription_cancelled.json": [],
        "subscription_expired.json": [
            told(
                Action.CANCEL,
                "subscription_expired:41:2026-11-21T11:00:00.000000Z",
                "21T11:00:00",
                business_key="order:21",
                order=Order(refs=("subscription:41",)),
            )
        ],
        "subscription_payment_success.json": [
            told(
                Action.RESUME,
                "subscription_payment_success:52:2026-11-21T10:30:05.000000Z",
                "21T10:30:05",
                order=Order(refs=("subscription:41",)),
                continues=True,
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return signed(payload)

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = event.headers["x-signature"]
        wrong = {
            "empty": "",
            "cut": good[:-1],
            "of another secret": signed(event.body, "other").headers["x-signature"],
            "in base64": base64.b64encode(bytes.fromhex(good)).decode(),
            "prefixed": f"sha256={good}",
        }
        return {
            **{how: replace(event, headers={"x-signature": text}) for how, text in wrong.items()},
            "absent": replace(event, headers={}),
            "elsewhere": replace(event, headers={}, query={"x-signature": good}),
            "of another body": replace(event, body=event.body + b" "),
        }

    def changed(self, name: str, event_name: str = "", **attributes: Any) -> InboundEvent:
        """The event of a file, with another name or other attributes."""
        said = self.load(name).json
        said["meta"]["event_name"] = event_name or said["meta"]["event_name"]
        said["data"]["attributes"] |= attributes
        return signed(orjson.dumps(said))

    def the(self, event: InboundEvent) -> EnrollmentCommand:
        (command,) = self.adapter().normalise(event)
        return command

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
        event = self.load("order_created.json")
        assert refused(self.adapter(), replace(event, body=data.draw(altered(event.body))))
        signature = data.draw(altered(event.headers["x-signature"].encode())).decode("latin-1")
        assert refused(self.adapter(), replace(event, headers={"x-signature": signature}))

    def test_takes_both_secrets_while_they_rotate(self) -> None:
        """The webhook is edited when its owner finds the time."""
        adapter = self.adapter(signing_secrets=["new", "old"])
        for secret, wanted in {"new": False, "old": False, SECRET: True}.items():
            assert refused(adapter, signed(b"{}", secret)) is wanted

    def test_the_name_in_the_signed_body_counts_more_than_the_header(self) -> None:
        """Nobody signs the header; it helps where the body has no name."""
        event = self.load("order_created.json")
        assert self.the(replace(event, headers={"x-event-name": "order_refunded"})).action is Action.ENROLL
        said = orjson.loads(event.body)
        del said["meta"]["event_name"]
        bare = replace(event, body=orjson.dumps(said), headers={"x-event-name": "order_created"})
        assert self.the(bare) == self.the(event)
        assert self.adapter().normalise(replace(bare, headers={})) == []

    def test_a_product_without_variant_is_named_by_itself(self) -> None:
        """One of the two must be there."""
        bought = {"product_id": 11, "variant_id": None}
        event = self.changed("order_created.json", first_order_item=bought)
        assert self.the(event).items[0].remote_product_id == "11"
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(self.changed("order_created.json", first_order_item={}))
        assert list(invalid.value.faults) == ["data.attributes.first_order_item.product_id"]

    def test_an_order_without_an_e_mail_waits(self) -> None:
        """The field is named as the vendor calls it."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(self.changed("order_created.json", user_email=""))
        assert list(invalid.value.faults) == ["data.attributes.user_email"]

    @pytest.mark.parametrize("status", ["pending", "failed", "fraudulent", "refunded", ""])
    def test_only_a_paid_order_is_a_purchase(self, status: str) -> None:
        """An order is created before its payment is known."""
        assert self.adapter().normalise(self.changed("order_created.json", status=status)) == []

    def test_a_trial_is_a_purchase_and_a_subscription_that_does_not_run_is_none(self) -> None:
        """What it becomes later is told by events of its own."""
        assert self.the(self.changed("subscription_created.json", status="on_trial")).action is Action.ENROLL
        for status in ("past_due", "unpaid", "paused", "expired"):
            assert self.adapter().normalise(self.changed("subscription_created.json", status=status)) == []

    @pytest.mark.parametrize(
        ("changes", "full"),
        [
            ({"refunded_amount": 100}, False),
            ({"refunded_amount": 4990}, True),
            ({"refunded_amount": None}, True),
            ({"refunded_amount": None, "status": "partial_refund"}, False),
        ],
    )
    def test_a_refund_is_full_when_all_the_money_is_back(self, changes: dict[str, Any], full: bool) -> None:
        """By the amounts, else by the order's status."""
        assert self.the(self.changed("order_refunded.json", **changes)).refund == Refund(full=full)

    @pytest.mark.parametrize(
        ("name", "action"),
        [
            ("subscription_expired", Action.CANCEL),
            ("subscription_paused", Action.SUSPEND),
            ("subscription_unpaused", Action.RESUME),
            ("subscription_resumed", Action.RESUME),
            ("subscription_cancelled", None),
            ("subscription_updated", None),
            ("license_key_created", None),
        ],
    )
    def test_what_a_subscription_becomes(self, name: str, action: Action | None) -> None:
        """A cancelled one is paid until it expires."""
        found = self.adapter().normalise(self.changed("subscription_expired.json", name))
        assert [command.action for command in found] == ([action] if action else [])

    def test_the_first_payment_is_told_by_the_order(self) -> None:
        """Also one that failed: then there is no order yet."""
        first = self.changed("subscription_payment_success.json", billing_reason="initial")
        failed = self.changed(
            "subscription_payment_success.json", "subscription_payment_failed", billing_reason="initial"
        )
        recovered = self.changed("subscription_payment_success.json", "subscription_payment_recovered")
        assert self.adapter().normalise(first) == self.adapter().normalise(failed) == []
        assert self.the(recovered).action is Action.RESUME

    def test_test_orders_say_so(self) -> None:
        """In the object, or in the envelope."""
        event = self.changed("order_created.json", test_mode=True)
        envelope = replace(event, body=event.body.replace(b'"test_mode":true', b'"a":1').replace(b"false", b"true", 1))
        assert [self.the(one).livemode for one in (event, envelope)] == [False, False]
        assert self.the(self.load("order_created.json")).livemode

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    async def test_an_order_and_its_subscription_are_one_registration(
        self, tmp_path: Path, order: Sequence[int]
    ) -> None:
        """Told twice, sent again, in whatever order, until it expires; a payment later gives it back."""
        names = ("order_created.json", "subscription_created.json", "subscription_expired.json")
        events = [self.load(names[place]) for place in order]
        later = self.changed("subscription_payment_success.json", updated_at="2026-11-21T12:00:00Z")
        async with shop(tmp_path, self.adapter(), "12") as world:
            await world.receive(*events, *events)
            assert await world.intents() == ["cancelled"]
            assert await world.waiting() == 0
            await world.receive(later)
            assert await world.intents() == ["live"]

    async def test_a_paused_subscription_comes_back_and_a_refunded_order_does_not(self, tmp_path: Path) -> None:
        """By the order that they all name."""
        paused = self.changed("subscription_expired.json", "subscription_paused", updated_at="2026-11-20T11:00:00Z")
        back = self.changed("subscription_expired.json", "subscription_unpaused", updated_at="2026-11-20T12:00:00Z")
        async with shop(tmp_path, self.adapter(), "12") as world:
            await world.receive(self.load("order_created.json"), paused)
            assert await world.intents() == ["suspended"]
            await world.receive(back)
            assert await world.intents() == ["live"]
            await world.receive(self.load("order_refunded.json"), back)
            assert await world.intents() == ["cancelled"]
