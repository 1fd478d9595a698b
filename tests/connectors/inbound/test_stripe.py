"""Stripe as a source: the suite, then what only Stripe says. The official library is the oracle of signatures, both ways."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from stripe import SignatureVerificationError, Webhook, WebhookSignature

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent, Lookup, Unreadable
from tests.connectors.inbound.stripe_rig import (
    API_KEY,
    NOW,
    SECRET,
    adapter,
    as_sent,
    moment,
    new_invoice,
    new_line,
    old_invoice,
    old_line,
    session,
    signed,
    subscribed,
    told,
)
from tests.suites.inbound import GARBAGE, PAYLOADS, RECEIVED, InboundSuite, refused, request

FOLDER = PAYLOADS / "stripe"
OFFICIAL = moment(1234567890)
MONTH = 30 * 86_400
DISPUTED = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1"}


def trial(event_id: str) -> EnrollmentCommand:
    """What the captured invoice means, by whichever of its two events."""
    return EnrollmentCommand(
        action=Action.ENROLL,
        occurred_at=moment(1677833999),
        event_key=event_id,
        business_key="invoice:in_1MhUT5E0b6fckueSfPlY05Fw",
        livemode=False,
        learner=Learner(email="hook@me.com", first_name="Martin", attributes={"stripe_customer": "cus_NSPHp4fOlXGw8P"}),
        items=(
            Item(
                remote_product_id="price_1M3wjkE0b6fckueSKPgfRMSG",
                quantity=11,
                amount_paid=Decimal("0.00"),
                currency="USD",
            ),
        ),
        order=Order(
            number="3DAA104C-0001",
            status="paid",
            total=Decimal("0.00"),
            currency="USD",
            subscription_id="sub_1MhUT5E0b6fckueSYAo1LoiF",
            refs=("in_1MhUT5E0b6fckueSfPlY05Fw",),
        ),
        options=Options(expires_at=moment(1680425999) + timedelta(days=3)),
    )


MEANINGS: Mapping[str, Sequence[EnrollmentCommand]] = {
    "checkout.session.completed.hookdeck.json": [],  # begins a subscription: its invoice says what and until when
    "customer.subscription.created.hookdeck.json": [],
    "invoice.paid.hookdeck.json": [trial("evt_1MhUT7E0b6fckueShdwYrsWN")],
    "invoice.payment_succeeded.hookdeck.json": [trial("evt_1MhUT7E0b6fckueSTtEJC9R4")],
    "checkout.session.completed.official.json": [],  # unpaid
    "invoice.paid.official.json": [
        EnrollmentCommand(
            action=Action.ENROLL,
            occurred_at=moment(1721954060),
            event_key="evt_1Pgc76B7WZ01zgkWwyRHS12y",
            business_key="invoice:in_1Pgc6tB7WZ01zgkWu9fdqL6I",
            livemode=False,
            learner=Learner(
                email="jenny@example.com",
                first_name="Jenny",
                last_name="Rosen",
                attributes={"stripe_customer": "cus_QXg1o8vcGmoR32"},
            ),
            items=(
                Item(remote_product_id="price_1PgafmB7WZ01zgkW6dKueIc5", amount_paid=Decimal("10.00"), currency="USD"),
            ),
            order=Order(
                number="ABC-0002",
                status="paid",
                total=Decimal("10.00"),
                currency="USD",
                subscription_id="sub_1Pgc6rB7WZ01zgkWNy0Cn5nw",
                refs=("in_1Pgc6tB7WZ01zgkWu9fdqL6I",),
            ),
            options=Options(expires_at=moment(1724632454) + timedelta(days=3)),
        )
    ],
    "charge.refunded.official.json": [
        EnrollmentCommand(
            action=Action.REFUND,
            occurred_at=OFFICIAL,
            event_key="evt_1Pgc76B7WZ01zgkWwyRHS12y",
            business_key="payment:pi_1PgafyB7WZ01zgkWSjxsAJo3",
            livemode=False,
            order=Order(
                transaction_id="pi_1PgafyB7WZ01zgkWSjxsAJo3",
                refs=("ch_1PgafuB7WZ01zgkWXYmPNZs8", "pi_1PgafyB7WZ01zgkWSjxsAJo3"),
            ),
            refund=Refund(full=True),
        )
    ],
    "refund.created.official.json": [
        EnrollmentCommand(
            action=Action.REFUND,
            occurred_at=OFFICIAL,
            event_key="evt_1Pgc76B7WZ01zgkWwyRHS12y",
            livemode=False,
            order=Order(transaction_id="ch_1PgafuB7WZ01zgkWXYmPNZs8", refs=("ch_1PgafuB7WZ01zgkWXYmPNZs8",)),
            refund=Refund(full=False),
        )
    ],
    "charge.dispute.created.official.json": [],  # an inquiry
    "customer.subscription.deleted.official.json": [
        EnrollmentCommand(
            action=Action.CANCEL,
            occurred_at=OFFICIAL,
            event_key="evt_1Pgc76B7WZ01zgkWwyRHS12y",
            livemode=False,
            order=Order(subscription_id="sub_1Pgc6rB7WZ01zgkWNy0Cn5nw"),
        )
    ],
}
"""File -> the commands it means."""


class TestStripe(InboundSuite):
    """Webhooks of Stripe."""

    type = "stripe"
    source: ClassVar[dict[str, Any]] = {"signing_secrets": SECRET, "api_key": API_KEY}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        name: MEANINGS[name]
        for name in (  # the suite spoils every field of these; all files are read below
            "checkout.session.completed.hookdeck.json",
            "invoice.paid.official.json",
            "refund.created.official.json",
        )
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        kept = json.loads(payload)
        if not name.endswith(".hookdeck.json"):
            return signed(as_sent(kept))
        body = as_sent(kept["body"])
        assert len(body.encode()) == int(kept["headers"]["content-length"])
        event = signed(body)
        return replace(event, headers={**kept["headers"], **event.headers})

    @pytest.mark.parametrize("name", MEANINGS)
    def test_every_payload_becomes_exactly_the_expected_commands(self, name: str) -> None:
        """The captured ones, and the official objects."""
        assert list(MEANINGS[name]) == self.adapter().normalise(self.load(name))
        assert MEANINGS.keys() == {path.name for path in FOLDER.glob("*.*.*.json")} - {"line_items.official.json"}

    def places(self) -> list[InboundEvent]:
        tiny = told("customer.created", {})
        good = tiny.headers["stripe-signature"]
        headers = (f"{good},v0=deadbeef", good.replace(",v1=", ",v1=00,v1="), f"v0=deadbeef,{good},v1=11")
        return [
            told("checkout.session.completed", session(metadata={"remote_product_id": "INTRO"})),
            told("invoice.paid", old_invoice(old_line(start=NOW, end=NOW + MONTH), paid_at=NOW)),
            told("charge.refunded", {"id": "ch_1", "payment_intent": "pi_1", "invoice": "in_1", "refunded": True}),
            told("charge.dispute.closed", {**DISPUTED, "status": "lost"}),
            told("customer.subscription.deleted", {"id": "sub_1", "status": "canceled", "ended_at": NOW}),
            *(replace(tiny, headers={"stripe-signature": header}) for header in headers),
        ]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = event.headers["stripe-signature"]
        body = event.body.decode()

        def shown(header: str) -> InboundEvent:
            return replace(event, headers={"stripe-signature": header})

        return {
            "absent": replace(event, headers={}),
            "empty": shown(""),
            "no pairs": shown("v1"),
            "of another scheme": shown(good.replace("v1=", "v0=")),
            "without its time": shown(good.split(",", 1)[1] if good.startswith("t=") else "v1=00"),
            "of two times": shown(f"{good},t={NOW}"),
            "of no number": shown(f"t=x,{good.split(',', 1)[1]}"),
            "of a number no clock shows": shown(f"t={'9' * 400},{good.split(',', 1)[1]}"),
            "of another secret": signed(body, secret="whsec_another"),
            "of the secret without its prefix": signed(body, secret=SECRET.removeprefix("whsec_")),
            "of another body": replace(event, body=event.body + b"\n"),
            "of the parsed body": replace(event, body=json.dumps(json.loads(event.body)).encode()),
            "too old": signed(body, at=NOW - 301),
            "ahead": signed(body, at=NOW + 61),
        }


class TestSignatures:
    """``Stripe-Signature``."""

    @pytest.mark.parametrize("vector", json.loads((FOLDER / "vectors.json").read_text()), ids=lambda one: one["name"])
    def test_the_vectors(self, vector: dict[str, Any]) -> None:
        """Of the official library's own test body and secret."""
        headers = {name.lower(): value for name, value in vector["headers"].items()}
        event = replace(
            request(base64.b64decode(vector["body_b64"]), headers=headers),
            received_at=datetime.fromtimestamp(vector["now"], UTC),
        )
        assert refused(adapter(signing_secrets=vector["secret"]), event) is not vector["valid"]

    @given(data=st.data(), body=st.text(st.characters(codec="utf-8"), min_size=1, max_size=80))
    @GARBAGE
    def test_fails_after_any_byte_is_changed(self, data: st.DataObject, body: str) -> None:
        """Of the body, of the signed time, of the signature that fits."""
        event = signed(body)
        time, signature = event.headers["stripe-signature"].removeprefix("t=").split(",v1=")
        parts = {"time": time.encode(), "signature": signature.encode(), "body": event.body}
        name = data.draw(st.sampled_from(sorted(parts)))
        place = data.draw(st.integers(0, len(parts[name]) - 1))
        spoilt = bytearray(parts[name])
        spoilt[place] ^= data.draw(st.integers(1, 255))
        for spelt, wanted in ((parts[name], False), (bytes(spoilt), True)):
            now = {**parts, name: spelt}
            header = f"t={now['time'].decode('latin-1')},v1={now['signature'].decode('latin-1')}"
            shown = replace(event, headers={"stripe-signature": header}, body=now["body"])
            assert refused(adapter(), shown) is wanted

    @given(
        body=st.text(st.characters(codec="utf-8"), max_size=80),
        secret=st.text("ab_19", min_size=1),
        age=st.integers(-50, 290),
    )
    @GARBAGE
    def test_takes_what_the_official_library_signs(self, body: str, secret: str, age: int) -> None:
        """With any secret, over any text."""
        assert not refused(adapter(signing_secrets=secret), signed(body, secret=secret, at=NOW - age))

    def test_refuses_what_the_official_library_refuses(self) -> None:
        """And takes what it takes, byte for byte of the captured deliveries."""
        adapted = adapter()
        for name in ("checkout.session.completed", "invoice.paid"):
            event = TestStripe().load(f"{name}.hookdeck.json")
            header, body = event.headers["stripe-signature"], event.body
            for shown, sent in ((header, body), (header, body[:-1]), (header.replace("v1", "v0"), body), ("", body)):
                ours = not refused(adapted, replace(event, headers={"stripe-signature": shown}, body=sent))
                assert ours is self._official(sent, shown)

    def _official(self, body: bytes, header: str) -> bool:
        try:
            return WebhookSignature.verify_header(body, header, SECRET)
        except SignatureVerificationError:
            return False

    def test_reads_the_event_that_the_official_library_reads(self) -> None:
        """The id is the event key."""
        event = TestStripe().load("invoice.paid.hookdeck.json")
        read = Webhook.construct_event(event.body, event.headers["stripe-signature"], SECRET, tolerance=10**9)
        (command,) = adapter().normalise(event)
        assert isinstance(command, EnrollmentCommand)
        assert command.event_key == read.id

    def test_takes_all_secrets_while_they_are_rolled(self) -> None:
        """Stripe signs with both for a day; two endpoints may also share a source."""
        adapted = adapter(signing_secrets=["whsec_new", "whsec_old"])
        for secret, wanted in {"whsec_new": False, "whsec_old": False, SECRET: True}.items():
            assert refused(adapted, signed("{}", secret=secret)) is wanted

    def test_the_tolerance_is_the_operators(self) -> None:
        """For a bridge whose clock is off, say; nobody can switch the check off."""
        late = signed("{}", at=NOW - 3_000)
        assert refused(adapter(), late)
        assert not refused(adapter(tolerance="1h"), late)
        assert refused(adapter(tolerance="0s"), late)


def test_an_empty_secret_among_others_is_a_fault_of_the_settings() -> None:
    """It would let anybody in."""
    with pytest.raises(ValidationError, match="signing_secrets"):
        adapter(signing_secrets=["whsec_a", ""])


def only(event: InboundEvent, **settings: Any) -> EnrollmentCommand:
    (command,) = adapter(**settings).normalise(event)
    assert isinstance(command, EnrollmentCommand)
    return command


class TestSessions:
    """``checkout.session.*``."""

    def test_without_api_key_the_metadata_names_the_product(self) -> None:
        """Or the payment link, which is one product to most merchants."""
        event = told("checkout.session.completed", session(metadata={"course": "INTRO"}, payment_link="plink_1"))
        assert only(event, product_metadata="course") == EnrollmentCommand(
            action=Action.ENROLL,
            occurred_at=moment(NOW - 60),
            event_key=f"evt_checkout.session.completed_{NOW - 60}",
            business_key="payment:pi_1",
            learner=Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace", phone="+4412"),
            items=(Item(remote_product_id="INTRO", amount_paid=Decimal("49.90"), currency="EUR"),),
            order=Order(
                number="cs_1",
                status="paid",
                total=Decimal("49.90"),
                currency="EUR",
                transaction_id="pi_1",
                refs=("cs_1", "pi_1"),
            ),
        )
        assert only(event).items[0].remote_product_id == "plink_1"

    def test_without_anything_that_names_the_product_it_waits_in_quarantine(self) -> None:
        """Somebody has paid: the operator is told what to do."""
        with pytest.raises(PayloadInvalid, match=r"metadata\.remote_product_id: is missing, and without api_key"):
            adapter().normalise(told("checkout.session.completed", session()))

    def test_with_api_key_the_lines_are_asked_for(self) -> None:
        """Unless the metadata names the product, which is the merchant's own word."""
        adapted = adapter(api_key=API_KEY)
        event = told("checkout.session.completed", session(payment_link="plink_1"))
        assert adapted.normalise(event) == []
        assert asked_for(adapted, event) == [Lookup("session", "cs_1")]
        event = told("checkout.session.completed", session(metadata={"remote_product_id": "INTRO"}))
        assert only(event, api_key=API_KEY).items[0].remote_product_id == "INTRO"
        assert asked_for(adapted, event) == []

    def test_where_there_is_an_invoice_the_invoice_tells_the_purchase(self) -> None:
        """Of a subscription, or of a one-time checkout that makes one: asked for, and told by its own event."""
        for thing in (subscribed(), session(invoice="in_1"), subscribed(invoice={"id": "in_1", "object": "invoice"})):
            event = told("checkout.session.completed", thing)
            assert adapter().normalise(event) == []
            assert asked_for(adapter(), event) == []
            assert adapter(api_key=API_KEY).normalise(event) == []
            assert asked_for(adapter(api_key=API_KEY), event) == [Lookup("invoice", "in_1")]

    def test_unpaid_waits_and_the_late_payment_is_the_same_purchase(self) -> None:
        """A bank debit takes days; nothing was given, so a failed one takes nothing away."""
        named = {"metadata": {"remote_product_id": "INTRO"}}
        unpaid = session(payment_status="unpaid", **named)
        for kind in ("checkout.session.completed", "checkout.session.async_payment_failed", "checkout.session.expired"):
            assert adapter().normalise(told(kind, unpaid)) == []
            assert asked_for(adapter(api_key=API_KEY), told(kind, unpaid)) == []
        late = only(told("checkout.session.async_payment_succeeded", session(**named), at=NOW - 5))
        assert (late.action, late.business_key, late.occurred_at) == (Action.ENROLL, "payment:pi_1", moment(NOW - 5))

    def test_what_costs_nothing_is_bought_too(self) -> None:
        """It has no payment intent, so the session is the purchase."""
        free = session(
            payment_status="no_payment_required", payment_intent=None, payment_link="plink_1", amount_total=0
        )
        command = only(told("checkout.session.completed", free))
        assert (command.business_key, command.order.transaction_id) == ("session:cs_1", None)
        assert command.order.refs == ("cs_1",)

    def test_saving_a_card_is_no_purchase(self) -> None:
        """Mode ``setup`` sells nothing."""
        event = told("checkout.session.completed", session(mode="setup", payment_status="no_payment_required"))
        assert adapter().normalise(event) == []
        assert asked_for(adapter(api_key=API_KEY), event) == []

    def test_the_prefilled_address_stands_in(self) -> None:
        """Without either nobody could be enrolled."""
        details = {"email": None, "name": None, "phone": None}
        event = told(
            "checkout.session.completed",
            session(customer_details=details, customer_email="ada@example.org", payment_link="plink_1"),
        )
        assert only(event).learner == Learner(email="ada@example.org")
        event = told("checkout.session.completed", session(customer_details=details, payment_link="plink_1"))
        with pytest.raises(PayloadInvalid, match=r"data\.object\.customer_details\.email: is missing"):
            adapter().normalise(event)

    def test_keeps_the_merchants_and_stripes_ids_of_the_person(self) -> None:
        """They name no learner, because each visit may make another customer; a CRM may want them."""
        thing = session(customer="cus_1", client_reference_id="member-7", payment_link="plink_1")
        learner = only(told("checkout.session.completed", thing)).learner
        assert learner is not None
        assert learner.remote_user_id is None
        assert learner.attributes == {"stripe_customer": "cus_1", "client_reference_id": "member-7"}

    @pytest.mark.parametrize(
        ("discounts", "wanted"),
        [
            ([{"coupon": None, "promotion_code": "promo_1"}], "promo_1"),
            ([{"coupon": "SUMMER", "promotion_code": None}], "SUMMER"),
            ([{"coupon": {"id": "SUMMER"}}], "SUMMER"),
            ([], None),
            (None, None),
        ],
    )
    def test_the_coupon(self, discounts: Any, wanted: str | None) -> None:
        """An id or an object; old versions have none."""
        thing = session(discounts=discounts, payment_link="plink_1")
        assert only(told("checkout.session.completed", thing)).order.coupon == wanted

    @pytest.mark.parametrize(
        ("currency", "amount", "wanted"),
        [
            ("usd", 1234, "12.34"),
            ("jpy", 12, "12"),
            ("kwd", 12340, "12.340"),
            ("isk", 1200, "12.00"),
            ("ugx", 1200, "12.00"),
            ("mga", 1200, "1200"),
            ("usd", None, None),
            ("usd", 12.5, None),
        ],
    )
    def test_money_is_in_the_smallest_unit_as_stripe_counts_it(
        self, currency: str, amount: Any, wanted: str | None
    ) -> None:
        """Which is not always ISO's."""
        thing = session(currency=currency, amount_total=amount, payment_link="plink_1")
        command = only(told("checkout.session.completed", thing))
        assert command.order.total == (None if wanted is None else Decimal(wanted))
        assert command.items[0].currency == currency.upper()


def asked_for(adapted: Any, event: InboundEvent) -> list[Lookup]:
    return [replace(asked, event_key=None) for asked in adapted.lookups(event)]


class TestInvoices:
    """``invoice.paid`` and ``invoice.payment_succeeded``."""

    START, PAID = NOW - 100, NOW - 90
    END = START + MONTH

    def line(self, **changes: Any) -> dict[str, Any]:
        return old_line(start=self.START, end=self.END, **changes)

    def paid(self, *lines: Mapping[str, Any], **changes: Any) -> InboundEvent:
        return told("invoice.paid", old_invoice(*lines, paid_at=self.PAID, **changes))

    def test_both_api_versions_mean_the_same(self) -> None:
        """A price, a subscription and a payment each stand elsewhere."""
        line = new_line(start=self.START, end=self.END)
        old, new = (
            only(told("invoice.paid", invoice, event_id="evt_1"))
            for invoice in (
                old_invoice(self.line(), paid_at=self.PAID, charge=None),
                new_invoice(line, paid_at=self.PAID, payments=["pi_1"]),
            )
        )
        assert old == new
        assert old == EnrollmentCommand(
            action=Action.ENROLL,
            occurred_at=moment(self.PAID),
            event_key="evt_1",
            business_key="invoice:in_1",
            learner=Learner(
                email="ada@example.org",
                first_name="Ada",
                last_name="Lovelace",
                phone="+4412",
                attributes={"stripe_customer": "cus_1"},
            ),
            items=(Item(remote_product_id="price_A", amount_paid=Decimal("19.00"), currency="EUR"),),
            order=Order(
                number="ABC-0001",
                status="paid",
                total=Decimal("19.00"),
                currency="EUR",
                transaction_id="pi_1",
                subscription_id="sub_1",
                refs=("in_1", "pi_1"),
            ),
            options=Options(expires_at=moment(self.END) + timedelta(days=3)),
        )

    def test_both_events_are_one_purchase_and_say_one_time(self) -> None:
        """Whichever of the two the merchant selected, or both."""
        invoice = old_invoice(self.line(), paid_at=self.PAID)
        one = only(told("invoice.paid", invoice, event_id="evt_1", at=self.PAID + 1))
        two = only(told("invoice.payment_succeeded", invoice, event_id="evt_2", at=self.PAID + 2))
        assert one.model_copy(update={"event_key": "evt_2"}) == two

    @pytest.mark.parametrize(
        "reason", ["subscription_create", "subscription_cycle", "subscription_update", "manual", "x"]
    )
    def test_whatever_it_was_made_for_a_paid_invoice_is_a_purchase(self, reason: str) -> None:
        """A renewal has an invoice of its own, and so a business key."""
        assert only(self.paid(self.line(), billing_reason=reason, id="in_2")).business_key == "invoice:in_2"

    def test_a_payment_that_failed_is_dunning_and_no_news(self) -> None:
        """Access ends with the period that was paid."""
        for kind in ("invoice.payment_failed", "invoice.finalized", "invoice.voided"):
            assert adapter().normalise(told(kind, old_invoice(self.line(), paid_at=self.PAID))) == []

    def test_access_outlasts_the_period_by_the_operators_grace(self) -> None:
        """So that a renewal that is paid late finds it still there."""
        command = only(self.paid(self.line()), period_grace="12h")
        assert command.options.expires_at == moment(self.END) + timedelta(hours=12)

    def test_a_period_at_the_end_of_time_has_none(self) -> None:
        """No date can hold it."""
        end = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
        assert only(self.paid(old_line(start=self.START, end=end))).options.expires_at is None

    def test_what_is_bought_once_beside_a_subscription_has_no_end(self) -> None:
        """A workbook on the first invoice, say: two commands of one purchase."""
        once = self.line(id="il_2", subscription=None, type="invoiceitem", period={"start": self.END, "end": self.END})
        once["price"] = {"id": "price_B", "product": "prod_B"}
        first, second = adapter().normalise(self.paid(self.line(), once))
        assert isinstance(first, EnrollmentCommand)
        assert isinstance(second, EnrollmentCommand)
        assert [item.remote_product_id for item in first.items] == ["price_A"]
        assert [item.remote_product_id for item in second.items] == ["price_B"]
        assert first.options.expires_at is not None
        assert second.options.expires_at is None
        assert (first.event_key, first.business_key) == (second.event_key, second.business_key)

    def test_a_period_for_the_books_is_no_end_of_access(self) -> None:
        """Of a line that belongs to no subscription."""
        assert only(self.paid(self.line(subscription=None), subscription=None)).options.expires_at is None

    def test_a_change_of_plan_gives_the_new_one(self) -> None:
        """The old one's line is a credit: nothing was bought by it."""
        credit = self.line(amount=-900, proration=True, price={"id": "price_OLD", "product": "prod_A"})
        command = only(self.paid(credit, self.line(amount=2900, proration=True), billing_reason="subscription_update"))
        assert [item.remote_product_id for item in command.items] == ["price_A"]
        assert adapter().normalise(self.paid(credit)) == []

    def test_lines_of_one_product_are_one(self) -> None:
        """The rest of this month and the next one: the seats of the next, the money of both, until the later end."""
        rest = old_line(start=self.START, end=self.END, amount=500, quantity=3)
        following = old_line(start=self.END, end=self.END + MONTH, amount=4000, quantity=4)
        command = only(self.paid(rest, following))
        assert command.items == (
            Item(remote_product_id="price_A", quantity=4, amount_paid=Decimal("45.00"), currency="EUR"),
        )
        assert command.options.expires_at == moment(self.END + MONTH) + timedelta(days=3)

    def test_the_amount_of_a_line_is_less_its_discounts(self) -> None:
        """In the invoice's currency."""
        line = self.line(discount_amounts=[{"amount": 900, "discount": "di_1"}, {"amount": 100}, {"amount": None}])
        assert only(self.paid(line)).items[0].amount_paid == Decimal("9.00")

    @pytest.mark.parametrize(("given", "wanted"), [(0, 1), (None, 1), (-3, 1), (7, 7), (10**15, 1_000_000)])
    def test_the_quantity_is_a_number_of_seats(self, given: Any, wanted: int) -> None:
        """Metered prices have none."""
        assert only(self.paid(self.line(quantity=given))).items[0].quantity == wanted

    @pytest.mark.parametrize(
        ("line", "by_price", "by_product"),
        [
            ({}, "price_A", "prod_A"),
            ({"price": {"id": "price_A", "product": {"id": "prod_A"}}}, "price_A", "prod_A"),
            ({"price": "price_A"}, "price_A", "price_A"),
            ({"price": None, "plan": {"id": "plan_A", "product": "prod_A"}}, "plan_A", "prod_A"),
            (
                {"price": None, "pricing": {"price_details": {"price": "price_A", "product": "prod_A"}}},
                "price_A",
                "prod_A",
            ),
            ({"price": None, "pricing": {"price_details": {"product": "prod_A"}}}, "prod_A", "prod_A"),
            ({"price": None}, "1 x Introduction", "1 x Introduction"),
        ],
    )
    def test_the_product_is_the_price_or_the_product_as_the_operator_wants(
        self, line: dict[str, Any], by_price: str, by_product: str
    ) -> None:
        """Each stands in where the other is missing; an amount that was typed in has its text."""
        event = self.paid(self.line(**line))
        assert only(event).items[0].remote_product_id == by_price
        assert only(event, sold_by="product").items[0].remote_product_id == by_product

    @pytest.mark.parametrize("place", ["metadata", "subscription_details", "parent"])
    def test_metadata_names_the_product_of_the_whole_invoice(self, place: str) -> None:
        """Of the invoice or of its subscription: prices made for one checkout are known to nobody."""
        metadata = {"remote_product_id": "INTRO"}
        changes = {
            "metadata": {"metadata": metadata},
            "subscription_details": {"subscription_details": {"metadata": metadata}},
            "parent": {"parent": {"subscription_details": {"metadata": metadata, "subscription": "sub_1"}}},
        }[place]
        command = only(self.paid(self.line(), self.line(price="price_B"), **changes))
        assert command.items == (Item(remote_product_id="INTRO", amount_paid=Decimal("19.00"), currency="EUR"),)
        assert command.options.expires_at == moment(self.END) + timedelta(days=3)

    def test_a_bad_line_does_not_sink_the_others(self) -> None:
        """It waits by itself, under its own id."""
        bad = self.line(id="il_bad", price=None, description=None)
        good, left = adapter().normalise(self.paid(self.line(), bad))
        assert isinstance(good, EnrollmentCommand)
        assert left == Unreadable("il_bad", {"data.object.lines.data.1.price": "is missing"})

    def test_an_event_shows_the_first_lines_of_a_long_invoice_only(self) -> None:
        """The rest is asked for; without api_key the first are taken, and the operator is told."""
        event = self.paid(self.line(), lines={"data": [self.line()], "has_more": True})
        adapted = adapter(api_key=API_KEY)
        assert adapted.normalise(event) == []
        assert asked_for(adapted, event) == [Lookup("invoice", "in_1")]
        taken, rest = adapter().normalise(event)
        assert isinstance(taken, EnrollmentCommand)
        assert isinstance(rest, Unreadable)
        assert "api_key" in rest.faults["data.object.lines"]

    def test_an_invoice_that_leaves_out_its_payment_is_taken_and_asked_for(self) -> None:
        """Refunds and disputes name nothing but the payment. What cost nothing has none, and old versions show it."""
        adapted = adapter(api_key=API_KEY)
        line = new_line(start=self.START, end=self.END)
        event = told("invoice.paid", new_invoice(line, paid_at=self.PAID))
        assert len(adapted.normalise(event)) == 1
        assert asked_for(adapted, event) == [Lookup("invoice", "in_1")]
        for known in (
            new_invoice(line, paid_at=self.PAID, amount_paid=0),
            new_invoice(line, paid_at=self.PAID, payments=["pi_1"]),
            old_invoice(self.line(), paid_at=self.PAID, payment_intent=None, charge=None),
        ):
            assert asked_for(adapted, told("invoice.paid", known)) == []

    @pytest.mark.parametrize(("field", "value"), [("customer_email", None), ("id", ""), ("lines", None)])
    def test_what_is_missing_is_named(self, field: str, value: Any) -> None:
        """By Stripe's own name."""
        with pytest.raises(PayloadInvalid, match=rf"data\.object\.{field}.*is missing"):
            adapter().normalise(self.paid(self.line(), **{field: value}))


class TestChanges:
    """Refunds, disputes, ends of subscriptions."""

    def test_a_refund_is_full_only_when_the_whole_charge_was_given_back(self) -> None:
        """Old versions name the invoice besides."""
        charge = {"id": "ch_1", "object": "charge", "payment_intent": "pi_1", "amount": 1900, "amount_refunded": 500}
        part = only(told("charge.refunded", {**charge, "refunded": False}))
        assert (part.refund, part.items) == (Refund(full=False), ())
        full = only(told("charge.refunded", {**charge, "refunded": True, "invoice": "in_1"}, at=NOW - 7))
        assert full.refund == Refund(full=True)
        assert full.occurred_at == moment(NOW - 7)
        assert (full.business_key, full.order.transaction_id) == ("invoice:in_1", "pi_1")
        assert full.order.refs == ("ch_1", "pi_1", "in_1")

    @pytest.mark.parametrize("kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])
    @pytest.mark.parametrize(
        ("status", "action", "refund"),
        [
            ("pending", Action.REFUND, Refund(full=False, pending=True)),
            ("requires_action", Action.REFUND, Refund(full=False, pending=True)),
            ("succeeded", Action.REFUND, Refund(full=False)),
            (None, Action.REFUND, Refund(full=False)),
            ("failed", Action.RESUME, Refund(ref="re_1", made_at=datetime(2026, 1, 20, 17, tzinfo=UTC))),
            ("canceled", Action.RESUME, Refund(ref="re_1", made_at=datetime(2026, 1, 20, 17, tzinfo=UTC))),
        ],
    )
    def test_one_refund_is_told_by_its_status(
        self, kind: str, status: str | None, action: Action, refund: Refund
    ) -> None:
        """It does not say whether it was of everything; when it failed, the purchase stands, but for other refunds of it."""
        thing = {"id": "re_1", "object": "refund", "charge": "ch_1", "payment_intent": "pi_1", "status": status}
        thing["created"] = int(datetime(2026, 1, 20, 17, tzinfo=UTC).timestamp())
        command = only(told(kind, thing))
        assert (command.action, command.refund) == (action, refund)
        assert command.order.refs == ("ch_1", "pi_1")

    @pytest.mark.parametrize("kind", ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"])
    @pytest.mark.parametrize(
        ("status", "action"),
        [
            ("needs_response", Action.SUSPEND),
            ("under_review", Action.SUSPEND),
            ("won", Action.RESUME),
            ("lost", Action.CANCEL),
            ("warning_needs_response", None),
            ("warning_under_review", None),
            ("warning_closed", None),
            ("prevented", None),
            ("appeal_under_review", None),
        ],
    )
    def test_a_dispute_is_told_by_its_status(self, kind: str, status: str, action: Action | None) -> None:
        """An inquiry takes no money, and no access."""
        told_of = adapter().normalise(told(f"charge.dispute.{kind}", {**DISPUTED, "status": status}))
        assert [command.action for command in told_of if isinstance(command, EnrollmentCommand)] == (
            [action] if action else []
        )

    def test_a_dispute_may_name_the_charge_only(self) -> None:
        """Then no business key can be made of it, and the charge must be known."""
        command = only(told("charge.dispute.created", {**DISPUTED, "payment_intent": None, "status": "needs_response"}))
        assert (command.business_key, command.order) == (None, Order(transaction_id="ch_1", refs=("ch_1",)))

    def test_a_change_that_names_no_payment_waits_in_quarantine(self) -> None:
        """It would concern nothing, or everything."""
        for kind in ("charge.dispute.created", "refund.failed"):
            with pytest.raises(PayloadInvalid, match=r"data\.object\.payment_intent: is missing"):
                adapter().normalise(told(kind, {"status": "needs_response"}))

    def test_the_end_of_a_subscription_names_nothing_else(self) -> None:
        """So that it ends all periods; one that is cancelled at the end of its period goes on until then."""
        ended = {"id": "sub_1", "object": "subscription", "status": "canceled", "ended_at": NOW - 30}
        assert only(told("customer.subscription.deleted", ended)) == EnrollmentCommand(
            action=Action.CANCEL,
            occurred_at=moment(NOW - 30),
            event_key=f"evt_customer.subscription.deleted_{NOW - 60}",
            order=Order(subscription_id="sub_1"),
        )
        going_on = {**ended, "status": "active", "cancel_at_period_end": True}
        assert adapter().normalise(told("customer.subscription.updated", going_on)) == []
        for status in ("past_due", "unpaid", "paused"):
            assert adapter().normalise(told("customer.subscription.updated", {**ended, "status": status})) == []

    def test_a_subscription_that_was_never_paid_ends_nothing(self) -> None:
        """It would wait for a purchase that never comes."""
        event = told("customer.subscription.deleted", {"id": "sub_1", "status": "incomplete_expired"})
        assert adapter().normalise(event) == []


class TestEnvelope:
    """What all events share."""

    def test_thin_notifications_are_another_protocol(self) -> None:
        """API v2 sends them, and only to endpoints made for it."""
        for thing in ({"object": "v2.core.event", "type": "v1.billing.meter.error"}, {"object": "list", "data": []}):
            event = signed(as_sent(thing))
            assert adapter().normalise(event) == []
            assert asked_for(adapter(api_key=API_KEY), event) == []

    @pytest.mark.parametrize(
        "kind", ["payment_intent.succeeded", "charge.succeeded", "customer.created", "invoice_payment.paid", "new.one"]
    )
    def test_other_events_are_of_no_use(self, kind: str) -> None:
        """The first two tell a purchase a third time."""
        assert adapter().normalise(told(kind, session())) == []

    def test_an_event_without_a_type_is_none(self) -> None:
        """Nor is a list."""
        for body in ("{}", "[]", '{"object": "event", "type": null}'):
            with pytest.raises(PayloadInvalid, match="type: is missing"):
                adapter().normalise(signed(body))
            assert asked_for(adapter(api_key=API_KEY), signed(body)) == []
        assert asked_for(adapter(api_key=API_KEY), signed("{")) == []

    def test_test_orders_are_marked(self) -> None:
        """Intake leaves them out, or in test mode everything else; nothing is asked about those."""
        thing = session(payment_link="plink_1")
        for livemode in (True, False):
            event = told("checkout.session.completed", thing, livemode=livemode)
            assert only(event).livemode is livemode
            for test_mode in (True, False):
                adapted = adapter(api_key=API_KEY, test_mode=test_mode)
                assert bool(asked_for(adapted, event)) is (livemode is not test_mode)

    def test_a_test_order_that_says_too_little_is_left_out_too(self) -> None:
        """It is nobody's trouble."""
        event = told("checkout.session.completed", session(), livemode=False)
        assert adapter().normalise(event) == []
        with pytest.raises(PayloadInvalid):
            adapter(test_mode=True).normalise(event)

    def test_without_a_time_it_happened_when_it_came(self) -> None:
        """Nothing else is known."""
        event = told("charge.dispute.created", {**DISPUTED, "status": "lost"}, created=None)
        assert only(event).occurred_at == RECEIVED
