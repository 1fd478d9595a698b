"""Razorpay as a source: the suite, then what only this sender says."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
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
from bridge.contract.inbound import InboundEvent
from tests.connectors.inbound.payments_rig import ALTERATIONS, altered, altered_text, shop
from tests.suites.inbound import PAYLOADS, InboundSuite, refused, request

SECRET = "rzp-secret"
ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace", phone="+919900000001")
PAID_AT = datetime.fromtimestamp(1597733000, UTC)
PERIOD_END = datetime.fromtimestamp(1600411400, UTC)


def signed(body: bytes, secret: str = SECRET, **headers: str) -> InboundEvent:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return request(body, headers={"x-razorpay-signature": signature, **headers})


def bought(event_key: str, **changes: Any) -> EnrollmentCommand:
    values = {
        "action": Action.ENROLL,
        "occurred_at": PAID_AT,
        "event_key": event_key,
        "business_key": "order_FPoIeimWki9j8A",
        "learner": ADA,
        "items": (Item(remote_product_id="intro", amount_paid=Decimal("5000.00"), currency="INR"),),
        "order": Order(
            number="order_FPoIeimWki9j8A",
            total=Decimal("5000.00"),
            currency="INR",
            payment_method="upi",
            transaction_id="pay_FPoJKWQQ8lK13n",
            refs=("order_FPoIeimWki9j8A",),
        ),
    }
    return EnrollmentCommand.model_validate(values | changes)


def changed(action: Action, event_key: str, at: int, order: Order, **more: Any) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=action, event_key=event_key, occurred_at=datetime.fromtimestamp(at, UTC), order=order, **more
    )


OF_PAYMENT = Order(transaction_id="pay_FPoJKWQQ8lK13n")


class TestRazorpay(InboundSuite):
    """Webhooks, signed over the raw body."""

    type = "razorpay"
    source: ClassVar[dict[str, Any]] = {"signing_secrets": SECRET}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "payment_captured.json": [bought("evt_payment_captured")],
        "order_paid.json": [bought("evt_order_paid")],
        "refund_processed.json": [
            changed(Action.REFUND, "evt_refund_processed", 1597734073, OF_PAYMENT, refund=Refund(full=True))
        ],
        "subscription_charged.json": [
            bought(
                "evt_subscription_charged",
                business_key="order_sub1",
                learner=Learner(email="ada@example.org", phone="+919900000001"),
                items=(Item(remote_product_id="plan_BvrFKjSxauOH7N", amount_paid=Decimal("5000.00"), currency="INR"),),
                order=Order(
                    number="order_sub1",
                    total=Decimal("5000.00"),
                    currency="INR",
                    payment_method="card",
                    transaction_id="pay_sub1",
                    subscription_id="sub_DEX6xcJ1HSW4CR",
                    refs=("inv_sub1", "order_sub1"),
                ),
                options=Options(expires_at=PERIOD_END + timedelta(days=3)),
            )
        ],
        "subscription_payment_captured.json": [],
        "subscription_cancelled.json": [
            changed(
                Action.CANCEL, "evt_subscription_cancelled", 1600000001, Order(subscription_id="sub_DEX6xcJ1HSW4CR")
            )
        ],
        "dispute_created.json": [changed(Action.SUSPEND, "evt_dispute_created", 1597900001, OF_PAYMENT)],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return signed(payload, **{"x-razorpay-event-id": f"evt_{name.removesuffix('.json')}"})

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = event.headers["x-razorpay-signature"]
        raw = bytes.fromhex(good)
        wrong = {
            "empty": "",
            "cut": good[:-1],
            "of another secret": signed(event.body, "other").headers["x-razorpay-signature"],
            "in base64": base64.b64encode(raw).decode(),
            "prefixed": f"sha256={good}",
        }
        return {
            **{how: replace(event, headers={"x-razorpay-signature": text}) for how, text in wrong.items()},
            "absent": replace(event, headers={}),
            "elsewhere": replace(event, headers={}, query={"x-razorpay-signature": good}),
            "of another body": replace(event, body=event.body + b" "),
        }

    def the(self, name: str, *, settings: Mapping[str, Any] | None = None, **changes: Any) -> EnrollmentCommand:
        (command,) = self.adapter(**settings or {}).normalise(self.changed(name, **changes))
        return command

    def changed(self, name: str, **changes: Any) -> InboundEvent:
        """The event of a file, with fields of entities set: ``payment__email=""``."""
        event = self.load(name)
        said = event.json
        for path, value in changes.items():
            entity, _, field = path.partition("__")
            said["payload"].setdefault(entity, {"entity": {}})["entity"][field] = value
        return replace(event, body=orjson.dumps(said))

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
        event = self.load("payment_captured.json")
        assert refused(self.adapter(), replace(event, body=data.draw(altered(event.body))))
        signature = data.draw(altered_text(event.headers["x-razorpay-signature"]))
        assert refused(self.adapter(), replace(event, headers={"x-razorpay-signature": signature}))

    def test_takes_both_secrets_while_they_rotate(self) -> None:
        """A retry may still carry the old one's signature."""
        adapter = self.adapter(signing_secrets=["new", "old"])
        for secret, wanted in {"new": False, "old": False, SECRET: True}.items():
            assert refused(adapter, signed(b"{}", secret)) is wanted

    def test_without_the_header_the_ids_of_the_body_tell_events_apart(self) -> None:
        """The same on redelivery, another for another event."""
        keys = set()
        for name in ("payment_captured.json", "order_paid.json", "refund_processed.json", "dispute_created.json"):
            (command,) = self.adapter().normalise(replace(self.load(name), headers={}))
            keys.add(command.event_key)
        assert keys == {
            "payment.captured:pay_FPoJKWQQ8lK13n",
            "order.paid:pay_FPoJKWQQ8lK13n",
            "refund.processed:rfnd_FS8TWyPrCsa0OB",
            "payment.dispute.created:disp_AHfqOvkldwsbqt",
        }

    def test_the_operator_says_which_notes_name_the_product(self) -> None:
        """The payment's notes go before the order's; commas separate several products."""
        keys = {"product_notes": ["sku", "course"]}
        notes = {"course": " a, b ,,a", "product_id": "no"}
        command = self.the("order_paid.json", settings=keys, payment__notes=notes, order__notes={"sku": "c"})
        assert [(item.remote_product_id, item.amount_paid) for item in command.items] == [("a", None), ("b", None)]
        command = self.the("order_paid.json", settings=keys, payment__notes=[], order__notes={"sku": 7})
        assert [item.remote_product_id for item in command.items] == ["7"]

    def test_a_payment_that_names_no_product_waits(self) -> None:
        """The note is named as the operator configured it."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(self.changed("payment_captured.json", payment__notes={"product_id": " , "}))
        assert list(invalid.value.faults) == ["payload.payment.entity.notes.product_id"]

    @pytest.mark.parametrize("email", ["", None, "void@razorpay.com", "VOID@razorpay.com"])
    def test_a_payment_without_an_e_mail_waits_unless_a_note_has_it(self, email: str | None) -> None:
        """The checkout sends an address of Razorpay's own where it asked for none."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(self.changed("payment_captured.json", payment__email=email))
        assert list(invalid.value.faults) == ["payload.payment.entity.email"]
        notes = {"product_id": "intro", "learner_email": "bob@example.org"}
        learner = self.the("payment_captured.json", payment__email=email, payment__notes=notes).learner
        assert learner is not None
        assert learner.email == "bob@example.org"

    def test_a_paid_invoice_is_a_purchase_unless_it_is_a_subscriptions(self) -> None:
        """A subscription's is told by ``subscription.charged``."""
        event = self.changed("payment_captured.json", invoice__id="inv_1", payment__invoice_id="inv_1")
        paid = replace(event, body=event.body.replace(b"payment.captured", b"invoice.paid"))
        (command,) = self.adapter().normalise(paid)
        assert command.order.refs == ("inv_1", "order_FPoIeimWki9j8A")
        of_subscription = orjson.loads(paid.body)
        of_subscription["payload"]["invoice"]["entity"]["subscription_id"] = "sub_1"
        assert self.adapter().normalise(replace(paid, body=orjson.dumps(of_subscription))) == []

    def test_each_charge_of_a_subscription_is_a_purchase_of_its_own(self) -> None:
        """With the end of its own period."""
        later = {"payment__id": "pay_2", "payment__order_id": "order_2", "subscription__current_end": 1603089800}
        first, second = self.the("subscription_charged.json"), self.the("subscription_charged.json", **later)
        assert (first.business_key, second.business_key) == ("order_sub1", "order_2")
        assert second.options.expires_at == datetime.fromtimestamp(1603089800, UTC) + timedelta(days=3)
        assert first.order.subscription_id == second.order.subscription_id

    @pytest.mark.parametrize(
        ("changes", "full"),
        [
            ({"payment__refund_status": "partial"}, False),
            ({"payment__refund_status": None}, True),
            ({"payment__refund_status": None, "refund__amount": 100}, False),
        ],
    )
    def test_a_refund_is_full_when_all_the_money_is_back(self, changes: dict[str, Any], full: bool) -> None:
        """As the payment says, else as the amounts say."""
        assert self.the("refund_processed.json", **changes).refund == Refund(full=full)

    def test_what_was_never_taken_is_no_refund(self) -> None:
        """Razorpay returns authorisations that nobody captured."""
        assert self.adapter().normalise(self.changed("refund_processed.json", payment__captured=False)) == []

    @pytest.mark.parametrize(
        ("name", "action"),
        [("won", Action.RESUME), ("lost", Action.CANCEL), ("under_review", None), ("action_required", None)],
    )
    def test_a_dispute_ends_one_way_or_the_other(self, name: str, action: Action | None) -> None:
        """What happens in between changes nothing."""
        event = self.load("dispute_created.json")
        told = replace(event, body=event.body.replace(b"dispute.created", f"dispute.{name}".encode()))
        assert [command.action for command in self.adapter().normalise(told)] == ([action] if action else [])

    def test_other_events_are_of_no_use(self) -> None:
        """They are counted."""
        for name in ("payment.authorized", "payment.failed", "refund.created", "subscription.activated", ""):
            assert self.adapter().normalise(signed(orjson.dumps({"event": name, "payload": {}}))) == []

    @pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
    async def test_one_payment_is_one_registration_until_it_is_refunded(self, tmp_path: Path, order: Any) -> None:
        """Told twice, sent again, and in whatever order."""
        names = ("payment_captured.json", "order_paid.json", "refund_processed.json")
        events = [self.load(names[place]) for place in order]
        async with shop(tmp_path, self.adapter(), "intro") as world:
            await world.receive(*events, *events)
            assert await world.intents() == ["cancelled"]
            assert await world.waiting() == 0

    async def test_a_subscription_ends_with_all_its_periods(self, tmp_path: Path) -> None:
        """Each charge is a registration until then."""
        later = {"payment__id": "pay_2", "payment__order_id": "order_2", "subscription__current_end": 1603089800}
        second = self.changed("subscription_charged.json", **later)
        second = replace(second, headers={"x-razorpay-event-id": "evt_second"})
        async with shop(tmp_path, self.adapter(), "plan_BvrFKjSxauOH7N") as world:
            await world.receive(
                self.load("subscription_payment_captured.json"), self.load("subscription_charged.json"), second
            )
            assert await world.intents() == ["live", "live"]
            await world.receive(self.load("subscription_cancelled.json"))
            assert await world.intents() == ["cancelled", "cancelled"]
