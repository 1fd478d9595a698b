"""PayPal as a source: the suite, then what its events mean, by themselves and with what the API tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import orjson
import pytest
from pydantic import ValidationError

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent, Lookup, Reception
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from tests.connectors.inbound.paypal_rig import (
    CLIENT_ID,
    CLIENT_SECRET,
    WEBHOOK_ID,
    Vendor,
    capture,
    order,
    signed,
    webhook,
)
from tests.suites.inbound import RECEIVED, InboundSuite, request, stored

CERT_URL = "https://api.paypal.com/v1/notifications/certs/CERT-1"
SANDBOX_URL = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1"
ZOE = Learner(email="zoe@example.org", first_name="Zoë", last_name="Müller")
ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace")
JOHN = Learner(email="buyer@example.com", first_name="John", last_name="Doe")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type] # year, month, day, hour, minute, second


def enroll(learner: Learner, *items: Item, at: datetime, **more: Any) -> EnrollmentCommand:
    return EnrollmentCommand(action=Action.ENROLL, occurred_at=at, learner=learner, items=items, **more)


def item(product: str, paid: str | None = None, currency: str | None = "USD", quantity: int = 1) -> Item:
    amount = None if paid is None else Decimal(paid)
    return Item(remote_product_id=product, amount_paid=amount, currency=currency, quantity=quantity)


def ended(name: str, subscription: str, at: datetime, *, paid: bool = False) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=Action.CANCEL,
        occurred_at=at,
        event_key=name,
        order=Order(subscription_id=subscription),
        at_period_end=paid,
    )


PERIOD = enroll(
    Learner(email="customer@example.com", first_name="John", last_name="Doe"),
    item("P-5ML4271244454362WXNWU5NQ", None, None, 20),
    at=utc(2018, 12, 10, 21, 20, 49),
    event_key="WH-77687562XN25889J8-8Y6T55435R66168T6",
    business_key="I-BW452GLLEP1G:start",
    order=Order(
        status="ACTIVE",
        total=None,
        currency=None,
        payment_method="paypal",
        transaction_id=None,
        subscription_id="I-BW452GLLEP1G",
        refs=(),
    ),
    options=Options(expires_at=utc(2019, 1, 4, 0, 20, 49)),
)
ORDERED = enroll(
    JOHN,
    item("d9f80740-38f0-11e8-b467-0ed5f89f718b", "100.00"),
    at=utc(2018, 4, 16, 21, 21, 49),
    event_key="WH-COC11055RA711503B-4YM959094A144403T",
    business_key="3C679366HH908993F",
    order=Order(
        number="5O190127TN364715T",
        status="COMPLETED",
        total=Decimal("100.00"),
        currency="USD",
        payment_method="paypal",
        transaction_id="3C679366HH908993F",
        refs=("5O190127TN364715T",),
    ),
)
DISPUTED = EnrollmentCommand(
    action=Action.SUSPEND,
    occurred_at=utc(2018, 6, 21, 13, 36, 33),
    event_key="WH-4M0448861G563140B-9EX36365822141321",
    order=Order(transaction_id="00D10444LD479031K"),
)
BUTTON = enroll(
    ZOE,
    item("INTRO", "99.80", quantity=2),
    at=utc(2026, 1, 13, 20, 3, 14),
    event_key="61E67681CH3238416:completed",
    business_key="61E67681CH3238416",
    order=Order(
        number="1001",
        status="Completed",
        total=Decimal("99.80"),
        currency="USD",
        payment_method="paypal",
        transaction_id="61E67681CH3238416",
        subscription_id=None,
        refs=("1001",),
    ),
)
CART = enroll(
    ADA,
    item("INTRO", "49.90", "EUR"),
    item("A book", "30.00", "EUR", 3),
    at=utc(2026, 7, 2, 1, 30, 30),
    event_key="7XB12345CD678901E:completed",
    business_key="7XB12345CD678901E",
    order=Order(
        number=None,
        status="completed",
        total=Decimal("79.90"),
        currency="EUR",
        payment_method="paypal",
        transaction_id="7XB12345CD678901E",
        subscription_id=None,
        refs=(),
    ),
)
RENEWED = enroll(
    ADA,
    item("CLUB", "10.00"),
    at=utc(2026, 1, 13, 20, 3, 14),
    livemode=False,
    event_key="5TX00000AA111111B:completed",
    business_key="5TX00000AA111111B",
    order=Order(
        number=None,
        status="Completed",
        total=Decimal("10.00"),
        currency="USD",
        payment_method="paypal",
        transaction_id="5TX00000AA111111B",
        subscription_id="S-1AB23456CD789012E",
        refs=(),
    ),
)
TAKEN_BACK = EnrollmentCommand(
    action=Action.REFUND,
    occurred_at=utc(2026, 1, 20, 17, 0, 0),
    event_key="9AA00000BB000000C:refunded",
    order=Order(transaction_id="61E67681CH3238416", refs=("9AA00000BB000000C",)),
    refund=Refund(ref="9AA00000BB000000C"),
)


class TestPaypal(InboundSuite):
    """Webhooks and IPN at one address."""

    type = "paypal"
    source: ClassVar[dict[str, Any]] = {
        "webhook_id": WEBHOOK_ID,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "receiver_email": "seller@example.org",
    }
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "BILLING.SUBSCRIPTION.ACTIVATED.hookdeck.json": [PERIOD],
        "BILLING.SUBSCRIPTION.CANCELLED.hookdeck.json": [
            ended("WH-6TD369808N914414D-1YJ376786E892292F", "I-PE7JWXKGVN0R", utc(2016, 4, 28, 11, 53, 10), paid=True)
        ],
        "CHECKOUT.ORDER.COMPLETED.hookdeck.json": [ORDERED],
        "CUSTOMER.DISPUTE.CREATED.hookdeck.json": [DISPUTED],
        "PAYMENT.CAPTURE.COMPLETED.hookdeck.json": [],
        "PAYMENT.SALE.COMPLETED.hookdeck.json": [],
        "ipn_button.form.txt": [BUTTON],
        "ipn_cart.form.txt": [CART],
        "ipn_refund.form.txt": [],
        "ipn_subscription_payment.form.txt": [RENEWED],
        "ipn_subscription_end.form.txt": [ended("S-1AB23456CD789012E:subscr_eot", "S-1AB23456CD789012E", RECEIVED)],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        if name.endswith(".form.txt"):
            return request(payload, headers={"content-type": "application/x-www-form-urlencoded"})
        sample = orjson.loads(payload)
        body = orjson.dumps(sample["body"])
        return request(body, headers={**signed(body, CERT_URL), **sample["headers"]})

    def places(self) -> list[InboundEvent]:
        return [self.load("CHECKOUT.ORDER.COMPLETED.hookdeck.json"), self.load("ipn_button.form.txt")]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        if event.body[:1] != b"{":
            swaps = {
                "to somebody else": (b"Seller%40", b"thief%40"),
                "to a name that ends alike": (b"Seller%40", b"aseller%40"),
                "to nobody": (b"receiver_email", b"receiver"),
            }
            return {how: replace(event, body=event.body.replace(*swap)) for how, swap in swaps.items()}
        headers = dict(event.headers)
        needed = [name for name in headers if name.startswith("paypal-") and name != "paypal-auth-version"]
        assert len(needed) == 5
        without = {
            f"without {name}": {other: text for other, text in headers.items() if other != name} for name in needed
        }
        addresses = (
            "http://api.paypal.com/v1/notifications/certs/CERT-1",
            "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
            "https://evil.example/v1/notifications/certs/CERT-1",
            "https://evilapi.paypal.com/v1/notifications/certs/CERT-1",
            "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
            "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
            "https://api.paypal.com/v1/notifications/certs/../../oauth2/CERT-1",
            "https://api.paypal.com/v1/notifications/certs/CERT-1?x=https://evil.example",
            "https://api.paypal.com/v1/notifications/certs/CERT-1#x",
            "https://api.paypal.com/v1/payments/CERT-1",
            "https://api.paypal.com/v1/notifications/certs/",
            "file:///etc/passwd",
        )
        return {
            **{how: replace(event, headers=left) for how, left in without.items()},
            **{url: replace(event, headers={**headers, "paypal-cert-url": url}) for url in addresses},
            "of an unknown algorithm": replace(event, headers={**headers, "paypal-auth-algo": "none"}),
            "no base64": replace(event, headers={**headers, "paypal-transmission-sig": "äöü"}),
        }

    def test_names_both_hosts_of_paypal(self) -> None:
        """Live and sandbox, as PayPal's own headers have them."""
        for url in (CERT_URL, SANDBOX_URL):
            self.adapter().verify(request(b"{}", headers=signed(b"{}", url)))

    def test_the_other_captured_events(self) -> None:
        """Of a subscription that ends, only its id counts; one whose payment failed is suspended in a while."""
        (expired,) = self.adapter().normalise(self.load("BILLING.SUBSCRIPTION.EXPIRED.hookdeck.json"))
        at = utc(2018, 12, 10, 21, 20, 49)  # the event's own date has the month 19
        paid = ended("WH-UY687577TY25889J9-2R6T55435R66168Y6", "I-BW452GLLEP1G", at, paid=True)
        assert expired == paid.model_copy(update={"effective_at": utc(2019, 1, 1, 0, 20, 49)})
        assert self.asked(self.load("CHECKOUT.ORDER.APPROVED.hookdeck.json")) == []
        failed = self.the(self.load("BILLING.SUBSCRIPTION.PAYMENT.FAILED.hookdeck.json"))
        assert failed.action is Action.SUSPEND
        assert failed.effective_at == failed.occurred_at + timedelta(days=3)
        assert failed.order.subscription_id

    def test_a_cancelled_subscription_lasts_until_its_next_charge_would_have_come(self) -> None:
        """Where PayPal still says when; a day that is over says nothing."""
        for day, ahead in (("2099-06-01T00:00:00Z", utc(2099, 6, 1)), ("2009-06-01T00:00:00Z", None)):
            resource = {"id": "I-1", "billing_info": {"next_billing_time": day}}
            found = self.the(self.told("BILLING.SUBSCRIPTION.CANCELLED", resource))
            assert (found.effective_at, found.at_period_end) == (ahead, True)

    # What the operator may write

    @pytest.mark.parametrize(
        "changes",
        [
            {"webhook_id": []},
            {"client_id": ""},
            {"client_secret": None},
            {"webhook_id": "WEBHOOK_ID"},
            {"webhook_id": [WEBHOOK_ID, "WEBHOOK_ID"]},
            {"prices": {"INTRO": "49,90"}},
            {"prices": {"INTRO": "49.90"}},
            {"trust_root": "not PEM"},
            {"receiver_email": "nobody"},
        ],
    )
    def test_settings_that_would_let_anybody_in_or_nobody_are_faults(self, changes: dict[str, Any]) -> None:
        """A source without a verifier does not start, and neither does one that trusts PayPal's public simulator."""
        with pytest.raises(ValidationError):
            self.adapter(**changes)

    def test_test_mode_speaks_to_the_sandbox(self) -> None:
        """Unless the operator names an address."""
        kind = type(self.adapter()).Settings
        for given, wanted in (
            ({}, "https://api-m.paypal.com"),
            ({"test_mode": True}, "https://api-m.sandbox.paypal.com"),
            ({"test_mode": True, "base_url": "http://127.0.0.1:1"}, "http://127.0.0.1:1"),
        ):
            settings = kind.model_validate({"adapter": "paypal", **self.source, **given})
            assert settings.base_url == wanted  # type: ignore[attr-defined] # of a source that calls out

    # Webhooks by themselves

    def the(self, event: InboundEvent, **changes: Any) -> EnrollmentCommand:
        (found,) = self.adapter(**changes).normalise(event)
        return found

    def told(self, kind: str, resource: Mapping[str, Any], **more: Any) -> InboundEvent:
        return request(webhook(kind, resource, **more), headers={"paypal-cert-url": CERT_URL})

    def faults(self, event: InboundEvent, **changes: Any) -> list[str]:
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter(**changes).normalise(event)
        return list(invalid.value.faults)

    def asked(self, event: InboundEvent, **changes: Any) -> list[Lookup]:
        adapter: Any = self.adapter(**changes)
        assert adapter.normalise(event) == []
        return [replace(asked, event_key=None) for asked in adapter.lookups(event)]

    def test_what_comes_from_the_sandbox_is_a_test(self) -> None:
        """Told by the certificate's host, also of a stored event; and nothing of it is looked up at the live API."""
        event = self.told("CHECKOUT.ORDER.COMPLETED", order())
        sandbox = replace(event, headers={"paypal-cert-url": SANDBOX_URL})
        for one, live in ((event, True), (sandbox, False), (stored(sandbox, self.adapter()), False)):
            assert [command.livemode for command in self.adapter().normalise(one)] == [live, live]
        taken = self.told("PAYMENT.CAPTURE.COMPLETED", capture("C1", "1.00"))
        tried = replace(taken, headers=sandbox.headers)
        assert [len(self.asked(one)) for one in (taken, tried)] == [1, 0]
        assert [len(self.asked(one, test_mode=True)) for one in (taken, tried)] == [0, 1]

    def test_every_unit_of_an_order_is_a_purchase_of_its_own_capture(self) -> None:
        """A refund names a capture, and takes back what was paid with it and nothing else."""
        first, second = self.adapter().normalise(self.told("CHECKOUT.ORDER.COMPLETED", order()))
        assert (first.business_key, second.business_key) == ("3C679367HH908", "4D780478II019")
        assert first.items == (item("INTRO", "10.00"),)
        assert second.items == (item("ETHICS", "40.00", quantity=2), item("A book", "50.00"))
        assert first.order.refs == ("5O190127TN364715T", "1001")
        assert first.event_key == second.event_key == "WH-1"

    @pytest.mark.parametrize("status", ["PENDING", "DECLINED", "FAILED", ""])
    def test_what_is_not_captured_is_not_paid(self, status: str) -> None:
        """An order may be complete while its payment waits; the capture has an event of its own."""
        units = order()["purchase_units"][:1]
        units[0]["payments"] = {"captures": [capture("C1", "10.00", status)]}
        assert self.adapter().normalise(self.told("CHECKOUT.ORDER.COMPLETED", order(purchase_units=units))) == []
        units[0]["payments"] = {"authorizations": [capture("A1", "10.00")]}
        assert self.adapter().normalise(self.told("CHECKOUT.ORDER.COMPLETED", order(purchase_units=units))) == []

    @pytest.mark.parametrize(
        ("unit", "products"),
        [
            ({"items": [{"sku": "S", "name": "N"}], "custom_id": "C", "reference_id": "R"}, ["S"]),
            ({"items": [{"name": "N"}], "custom_id": "C", "reference_id": "R"}, ["C"]),
            ({"items": [{"name": "N"}], "reference_id": "R"}, ["R"]),
            ({"items": [{"name": "N"}, {"name": "M"}], "reference_id": "default"}, ["N", "M"]),
            ({"items": [{"sku": "S"}, {"name": "M"}], "custom_id": "C"}, ["S", "M"]),
        ],
    )
    def test_the_product_is_what_the_seller_called_it_most_exactly(
        self, unit: dict[str, Any], products: list[str]
    ) -> None:
        """SKU, custom id, reference id other than PayPal's own word for none, name."""
        event = self.told(
            "CHECKOUT.ORDER.COMPLETED",
            order(purchase_units=[{**unit, "payments": {"captures": [capture("C1", "10.00")]}}]),
        )
        assert [found.remote_product_id for found in self.the(event).items] == products

    def test_what_is_missing_is_named_as_paypal_writes_it(self) -> None:
        """It waits in quarantine for a person."""
        bare = {"payments": {"captures": [capture("C1", "10.00")]}}
        assert self.faults(self.told("CHECKOUT.ORDER.COMPLETED", order(purchase_units=[bare]))) == ["custom_id"]
        assert self.faults(self.told("CHECKOUT.ORDER.COMPLETED", order(payer={}))) == ["payer.email_address"]
        assert self.faults(self.told("BILLING.SUBSCRIPTION.CANCELLED", {})) == ["resource.id"]
        assert self.faults(self.told("PAYMENT.SALE.COMPLETED", {"id": "S1"})) == ["resource.parent_payment"]
        assert self.faults(self.told("PAYMENT.CAPTURE.REFUNDED", {"id": "R1"})) == ["resource.links"]

    @pytest.mark.parametrize(
        "kind",
        [
            *("PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.DENIED", "PAYMENT.SALE.PENDING", "PAYMENT.SALE.DENIED"),
            *("BILLING.SUBSCRIPTION.CREATED", "BILLING.SUBSCRIPTION.UPDATED", "CHECKOUT.ORDER.APPROVED", "X", ""),
        ],
    )
    def test_what_gives_and_takes_nothing_is_of_no_use(self, kind: str) -> None:
        """A payment that waits or failed was never a purchase."""
        assert self.asked(self.told(kind, capture("C1", "1.00"))) == []

    def test_a_subscription_is_read_in_both_shapes(self) -> None:
        """The same event type comes as v2 and as v1's agreement."""
        new = {"id": "I-1", "plan_id": "P-1", "quantity": "20", "subscriber": {"email_address": "a@example.org"}}
        old = {
            "id": "I-1",
            "description": "Club",
            "payer": {"payer_info": {"email": "a@example.org", "first_name": "Ada", "last_name": "L"}},
        }
        first = self.the(self.told("BILLING.SUBSCRIPTION.ACTIVATED", new))
        assert first.items == (item("P-1", None, None, 20),)
        assert first.options.expires_at is None
        second = self.the(self.told("BILLING.SUBSCRIPTION.ACTIVATED", old))
        assert second.learner == Learner(email="a@example.org", first_name="Ada", last_name="L")
        assert second.items[0].remote_product_id == "Club"

    def test_access_lasts_for_the_paid_period_and_some_days(self) -> None:
        """The next payment comes before it ends; how many days is the operator's."""
        new = {
            "id": "I-1",
            "plan_id": "P-1",
            "subscriber": {"email_address": "a@example.org"},
            "billing_info": {"next_billing_time": "2026-06-01T00:00:00Z"},
        }
        event = self.told("BILLING.SUBSCRIPTION.ACTIVATED", new)
        assert self.the(event, period_grace="1d").options.expires_at == utc(2026, 6, 2)

    @pytest.mark.parametrize(
        ("kind", "action"),
        [
            ("CANCELLED", Action.CANCEL),
            ("EXPIRED", Action.CANCEL),
            ("SUSPENDED", Action.SUSPEND),
            ("RE-ACTIVATED", Action.RESUME),
        ],
    )
    def test_what_becomes_of_a_subscription_concerns_all_its_periods(self, kind: str, action: Action) -> None:
        """So nothing narrower is named."""
        found = self.the(self.told(f"BILLING.SUBSCRIPTION.{kind}", {"id": "I-1", "state": "x"}))
        assert (found.action, found.order, found.business_key) == (action, Order(subscription_id="I-1"), None)

    def test_a_reversal_takes_everything_back(self) -> None:
        """A chargeback; the payment is named by a link, by its own id, or is the resource itself."""
        up = {"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/C1"}
        for resource in ({"id": "R1", "links": [up]}, {"id": "R1", "sale_id": "C1"}, {"id": "C1"}):
            for kind in ("PAYMENT.CAPTURE.REVERSED", "PAYMENT.SALE.REVERSED"):
                found = self.the(self.told(kind, resource))
                assert (found.refund, found.order.transaction_id) == (Refund(), "C1")

    def test_a_refund_that_is_pending_only_waits(self) -> None:
        """One that failed never was."""
        for kind in ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.SALE.REFUNDED"):
            found = self.the(self.told(kind, {"id": "R1", "status": "PENDING", "sale_id": "C1"}))
            assert (found.refund, found.order.transaction_id) == (Refund(pending=True), "C1")
            assert self.asked(self.told(kind, {"id": "R1", "state": "failed", "sale_id": "C1"})) == []

    @pytest.mark.parametrize(
        ("outcome", "action"),
        [
            ("RESOLVED_SELLER_FAVOUR", Action.RESUME),
            ("CANCELED_BY_BUYER", Action.RESUME),
            ("DENIED", Action.RESUME),
            ("RESOLVED_BUYER_FAVOUR", Action.CANCEL),
            ("ACCEPTED", Action.CANCEL),
        ],
    )
    def test_a_dispute_is_won_or_lost_by_its_outcome(self, outcome: str, action: Action) -> None:
        """For each payment that is disputed; an update may bring the outcome too."""
        resource = {
            "status": "RESOLVED",
            "dispute_outcome": {"outcome_code": outcome},
            "disputed_transactions": [{"seller_transaction_id": "C1"}, {"seller_transaction_id": "C2"}],
        }
        for kind in ("RESOLVED", "UPDATED"):
            found = self.adapter().normalise(self.told(f"CUSTOMER.DISPUTE.{kind}", resource))
            assert [(one.action, one.order.transaction_id) for one in found] == [(action, "C1"), (action, "C2")]

    def test_a_dispute_that_goes_on_stays_suspended(self) -> None:
        """An update of one that is open."""
        resource = {"status": "UNDER_REVIEW", "disputed_transactions": [{"seller_transaction_id": "C1"}]}
        assert self.the(self.told("CUSTOMER.DISPUTE.UPDATED", resource)).action is Action.SUSPEND

    @pytest.mark.parametrize("outcome", ["RESOLVED_WITH_PAYOUT", "NONE", ""])
    def test_an_outcome_that_names_no_winner_waits_for_a_person(self, outcome: str) -> None:
        """Nobody's access hangs on a guess."""
        resource = {
            "dispute_outcome": {"outcome_code": outcome},
            "disputed_transactions": [{"seller_transaction_id": "C1"}],
        }
        assert self.faults(self.told("CUSTOMER.DISPUTE.RESOLVED", resource)) == [
            "resource.dispute_outcome.outcome_code"
        ]

    # Webhooks with what the API tells

    async def found(self, event: InboundEvent, vendor: Vendor, **changes: Any) -> Any:
        """Ask what the event asks, through a real server."""
        adapter: Any = self.adapter(**changes)
        kept = stored(event, adapter)
        (lookup,) = adapter.lookups(kept)
        async with vendor.serving(tls=False) as http:
            return await adapter.look_up(kept, lookup, http)

    async def test_a_capture_is_the_same_purchase_as_its_order(self) -> None:
        """Whichever of the two events comes first, and however often."""
        vendor = Vendor()
        vendor.things["/v2/checkout/orders/5O190127TN364715T"] = order()
        resource = {
            **capture("4D780478II019", "90.00"),
            "supplementary_data": {"related_ids": {"order_id": "5O190127TN364715T"}},
        }
        event = self.told("PAYMENT.CAPTURE.COMPLETED", resource, name="WH-2")
        assert self.asked(event) == [Lookup("order", "5O190127TN364715T")]
        (found,) = await self.found(event, vendor)
        _, by_order = self.adapter().normalise(self.told("CHECKOUT.ORDER.COMPLETED", order()))
        assert found == by_order.model_copy(update={"event_key": "WH-2"})

    async def test_a_capture_without_an_order_is_asked_for_it(self) -> None:
        """The event may be shortened; the capture itself knows."""
        vendor = Vendor()
        vendor.things["/v2/payments/captures/3C679367HH908"] = {
            "supplementary_data": {"related_ids": {"order_id": "5O190127TN364715T"}}
        }
        vendor.things["/v2/checkout/orders/5O190127TN364715T"] = order()
        (found,) = await self.found(self.load("PAYMENT.CAPTURE.COMPLETED.hookdeck.json"), vendor)
        assert (found.business_key, found.learner, found.event_key) == ("3C679367HH908", JOHN, "WH-COM47...")
        assert len(vendor.tokens) == 1

    async def test_an_order_that_does_not_hold_the_capture_is_no_purchase(self) -> None:
        """It waits for a person."""
        vendor = Vendor()
        vendor.things["/v2/checkout/orders/O1"] = order()
        resource = {**capture("OTHER", "1.00"), "supplementary_data": {"related_ids": {"order_id": "O1"}}}
        with pytest.raises(PayloadInvalid):
            await self.found(self.told("PAYMENT.CAPTURE.COMPLETED", resource), vendor)

    SUBSCRIPTION: ClassVar[dict[str, Any]] = {
        "id": "I-1",
        "status": "ACTIVE",
        "plan_id": "P-1",
        "start_time": "2026-05-01T10:00:00Z",
        "subscriber": {
            "email_address": "ada@example.org",
            "name": {"given_name": "Ada", "surname": "Lovelace"},
        },
        "billing_info": {"next_billing_time": "2026-06-01T10:00:00Z"},
    }

    def sale(self, name: str, created: str, **more: Any) -> InboundEvent:
        resource = {
            "id": name,
            "state": "completed",
            "amount": {"total": "14.55", "currency": "CAD"},
            "create_time": created,
            "billing_agreement_id": "I-1",
            **more,
        }
        return self.told("PAYMENT.SALE.COMPLETED", resource, name=f"WH-{name}", at=created)

    async def test_the_first_payment_is_the_purchase_that_began_the_subscription(self) -> None:
        """And each later one is a purchase of its own, with its own end."""
        vendor = Vendor()
        vendor.things["/v1/billing/subscriptions/I-1"] = self.SUBSCRIPTION
        began = self.the(self.told("BILLING.SUBSCRIPTION.ACTIVATED", self.SUBSCRIPTION))
        (first,) = await self.found(self.sale("S1", "2026-05-01T10:02:00Z"), vendor)
        assert first.business_key == began.business_key == "I-1:start"
        assert (first.learner, first.order.transaction_id, first.order.subscription_id) == (ADA, "S1", "I-1")
        assert first.items == (item("P-1", "14.55", "CAD"),)
        assert first.options == began.options == Options(expires_at=utc(2026, 6, 4, 10))
        (second,) = await self.found(self.sale("S2", "2026-06-01T11:00:00Z"), vendor)
        assert second.business_key == "S2"
        assert second.options.expires_at is None  # what the API tells has ended already

    async def test_an_agreement_of_the_old_kind_is_found_too(self) -> None:
        """The two have ids that look alike."""
        vendor = Vendor()
        vendor.things["/v1/payments/billing-agreements/I-1"] = {
            "id": "I-1",
            "description": "Club",
            "payer": {"payer_info": {"email": "ada@example.org", "first_name": "Ada", "last_name": "Lovelace"}},
        }
        (found,) = await self.found(self.sale("S1", "2026-05-01T10:02:00Z"), vendor)
        assert (found.learner, found.items[0].remote_product_id) == (ADA, "Club")
        assert [path for path in vendor.asked("/v1/") if "oauth2" not in path] == [
            "/v1/billing/subscriptions/I-1",
            "/v1/payments/billing-agreements/I-1",
        ]

    async def test_a_sale_without_a_subscription_is_found_by_its_payment(self) -> None:
        """The older way to pay once."""
        vendor = Vendor()
        payment: dict[str, Any] = {
            "payer": {"payer_info": {"email": "ada@example.org", "first_name": "Ada", "last_name": "Lovelace"}},
            "transactions": [
                {
                    "item_list": {"items": [{"sku": "OTHER"}]},
                    "related_resources": [{"sale": {"id": "another"}}],
                },
                {
                    "item_list": {"items": [{"sku": "INTRO", "name": "Intro", "quantity": "1", "price": "0.48"}]},
                    "invoice_number": "77",
                    "related_resources": [{"sale": {"id": "80021663DE681814L"}}],
                },
            ],
        }
        vendor.things["/v1/payments/payment/PAY-1PA12106FU478450MKRETS4A"] = payment
        event = self.load("PAYMENT.SALE.COMPLETED.hookdeck.json")
        (found,) = await self.found(event, vendor)
        assert (found.learner, found.items, found.business_key) == (ADA, (item("INTRO", "0.48"),), "80021663DE681814L")
        assert found.order.refs == ("PAY-1PA12106FU478450MKRETS4A", "77")

    @pytest.mark.parametrize(
        ("kind", "path", "said", "full"),
        [
            ("PAYMENT.CAPTURE.REFUNDED", "/v2/payments/captures/C1", {"status": "REFUNDED"}, True),
            ("PAYMENT.CAPTURE.REFUNDED", "/v2/payments/captures/C1", {"status": "PARTIALLY_REFUNDED"}, False),
            ("PAYMENT.SALE.REFUNDED", "/v1/payments/sale/C1", {"state": "refunded"}, True),
            ("PAYMENT.SALE.REFUNDED", "/v1/payments/sale/C1", {"state": "partially_refunded"}, False),
        ],
    )
    async def test_whether_a_refund_took_everything_is_asked(
        self, kind: str, path: str, said: dict[str, str], *, full: bool
    ) -> None:
        """It tells its own amount, and not what it is a part of; the payment is named only in a link."""
        vendor = Vendor()
        vendor.things[path] = said
        link = {"rel": "sale" if "SALE" in kind else "up", "href": f"https://api.paypal.com{path}"}
        event = self.told(kind, {"id": "R1", "status": "COMPLETED", "links": [{"rel": "self", "href": "x"}, link]})
        (found,) = await self.found(event, vendor)
        assert (found.action, found.refund) == (Action.REFUND, Refund(full=full))
        assert found.order == Order(transaction_id="C1", refs=("R1",))
        assert found.occurred_at == utc(2026, 5, 1, 10)

    async def test_an_address_in_the_event_is_never_asked(self) -> None:
        """Of a link only the id is read, and an id is quoted."""
        link = {"rel": "up", "href": "https://evil.example/v2/payments/captures/C1"}
        vendor = Vendor()
        vendor.things["/v2/payments/captures/C1"] = {"status": "REFUNDED"}
        await self.found(self.told("PAYMENT.CAPTURE.REFUNDED", {"id": "R1", "links": [link]}), vendor)
        resource = {**capture("C1", "1.00"), "supplementary_data": {"related_ids": {"order_id": "../../v1/x?y#z"}}}
        answer = await self.found(self.told("PAYMENT.CAPTURE.COMPLETED", resource), vendor)
        assert isinstance(answer, Refused)
        assert vendor.asked("/v2/checkout/orders/") == ["/v2/checkout/orders/../../v1/x?y#z"]  # as aiohttp decodes it

    @pytest.mark.parametrize(
        ("status", "kind"), [(404, Refused), (500, TryLater), (429, TryLater), (403, NeedsOperator), (422, Refused)]
    )
    async def test_what_the_api_can_not_tell(self, status: int, kind: type) -> None:
        """Unknown for good, later, or a person's work."""
        vendor = Vendor()
        vendor.things["/v1/billing/subscriptions/I-1"] = status
        vendor.things["/v1/payments/billing-agreements/I-1"] = status
        assert isinstance(await self.found(self.sale("S1", "2026-05-01T10:02:00Z"), vendor), kind)

    async def test_wrong_credentials_are_a_persons_work(self) -> None:
        """And a login that fails by itself is tried again."""
        vendor = Vendor()
        answer = await self.found(self.sale("S1", "2026-05-01T10:02:00Z"), vendor, client_secret="wrong")
        assert isinstance(answer, NeedsOperator)
        vendor.login = 500
        assert isinstance(await self.found(self.sale("S1", "2026-05-01T10:02:00Z"), vendor), TryLater)

    async def test_a_token_is_kept_and_renewed_once_it_is_refused(self) -> None:
        """One login serves many lookups."""
        vendor = Vendor()
        vendor.things["/v1/billing/subscriptions/I-1"] = self.SUBSCRIPTION
        adapter: Any = self.adapter()
        event = self.sale("S1", "2026-05-01T10:02:00Z")
        async with vendor.serving(tls=False) as http:
            for _ in range(3):
                assert len(await adapter.look_up(event, Lookup("subscription", "I-1"), http)) == 1
            assert len(vendor.tokens) == 1
            vendor.revoked.update(vendor.tokens)
            assert len(await adapter.look_up(event, Lookup("subscription", "I-1"), http)) == 1
        assert len(vendor.tokens) == 2

    # IPN

    def ipn(self, **fields: str) -> InboundEvent:
        body = self.load("ipn_button.form.txt").body.decode()
        for name, text in fields.items():
            body += f"&{name}={text}"  # of a repeated name the last counts
        return request(body.encode())

    @pytest.mark.parametrize(
        ("path", "said", "full"),
        [
            ("/v2/payments/captures/61E67681CH3238416", {"status": "REFUNDED"}, True),
            ("/v2/payments/captures/61E67681CH3238416", {"status": "PARTIALLY_REFUNDED"}, False),
            ("/v1/payments/sale/61E67681CH3238416", {"state": "refunded"}, True),
            ("/v1/payments/sale/61E67681CH3238416", {"state": "partially_refunded"}, False),
        ],
    )
    async def test_whether_an_ipn_s_refund_took_everything_is_asked(
        self, path: str, said: dict[str, str], *, full: bool
    ) -> None:
        """ "Refunded" is said of five of a hundred as well; nobody is shut out for that."""
        vendor = Vendor()
        vendor.things[path] = said
        assert await self.found(self.load("ipn_refund.form.txt"), vendor) == [
            TAKEN_BACK.model_copy(update={"refund": Refund(full=full, ref="9AA00000BB000000C")})
        ]

    @pytest.mark.parametrize("status", ["Pending", "Denied", "Failed", "Voided", "Expired", "Created", ""])
    def test_a_payment_that_is_not_complete_waits(self, status: str) -> None:
        """The same payment comes again with another status, which is another occurrence."""
        assert self.adapter().normalise(self.ipn(payment_status=status)) == []

    @pytest.mark.parametrize(
        ("status", "action", "refunded"),
        [
            ("Partially_Refunded", Action.REFUND, Refund(full=False)),
            ("REVERSED", Action.REFUND, Refund(ref="reversal")),
            ("Canceled_Reversal", Action.RESUME, Refund(ref="reversal")),
        ],
    )
    def test_what_comes_afterwards_names_the_first_payment(self, status: str, action: Action, refunded: Refund) -> None:
        """By its transaction id; its own is another, and a reversal is told from refunds. The case of the status varies."""
        found = self.the(self.ipn(payment_status=status, txn_id="T2", parent_txn_id="T1"))
        assert (found.action, found.refund) == (action, refunded)
        assert found.order == Order(transaction_id="T1", refs=("T2",))
        assert found.event_key == f"T2:{status.lower()}"

    @pytest.mark.parametrize(
        ("kind", "action"),
        [
            ("subscr_cancel", Action.CANCEL),
            ("recurring_payment_expired", Action.CANCEL),
            ("recurring_payment_suspended", Action.SUSPEND),
        ],
    )
    def test_what_becomes_of_an_old_subscription(self, kind: str, action: Action) -> None:
        """All its periods."""
        found = self.the(self.ipn(txn_type=kind, payment_status="", subscr_id="S-1"))
        assert (found.action, found.order, found.occurred_at) == (action, Order(subscription_id="S-1"), RECEIVED)

    @pytest.mark.parametrize(
        ("charset", "written", "read"),
        [
            ("windows-1252", "Ren%E9e+%80", "Renée €"),
            ("UTF-8", "Ren%C3%A9e", "Renée"),
            ("Shift_JIS", "%93%FA%96%7B", "日本"),
            ("", "Ren%E9e", "Renée"),
            ("no-such-thing", "Ren%E9e", "Renée"),
            ("zlib", "Ren%E9e", "Renée"),
        ],
    )
    def test_names_are_read_in_the_encoding_that_the_form_names(self, charset: str, written: str, read: str) -> None:
        """Windows-1252 where it names none that is one."""
        learner = self.the(self.ipn(first_name=written, charset=charset)).learner
        assert learner is not None
        assert learner.first_name == read

    @pytest.mark.parametrize(
        ("price", "amount", "fits"),
        [
            ("49.90 USD", "99.80", True),
            ("49.90 USD", "120.00", True),
            ("49.91 USD", "99.80", False),
            ("49.90 EUR", "99.80", False),
            ("49.90 USD", "0.01", False),
            ("49.90 USD", "", False),
        ],
    )
    def test_a_buyer_who_changed_the_price_waits_for_a_person(self, price: str, amount: str, *, fits: bool) -> None:
        """The button's form is the buyer's to edit; two were bought."""
        event = self.ipn(mc_gross=amount)
        if fits:
            assert self.the(event, prices={"INTRO": price}).items
        else:
            assert self.faults(event, prices={"INTRO": price}) == ["mc_gross"]
        assert self.the(event, prices={"OTHER": price}).items

    @pytest.mark.parametrize("date", ["", "13 Jan 2026", "25:00:00 Jan 13, 2026 PST", "10:00:00 Feb 30, 2026 PDT"])
    def test_a_date_that_can_not_be_read_is_the_time_of_receipt(self, date: str) -> None:
        """Nobody's purchase is lost for it."""
        assert self.the(self.ipn(payment_date=date.replace(" ", "+"))).occurred_at == RECEIVED

    def test_an_ipn_is_answered_with_an_empty_body(self) -> None:
        """PayPal looks at nothing else."""
        adapter, event = self.adapter(), self.ipn()
        assert adapter.respond(event, Reception("accepted")).body == b""
        assert adapter.respond(event, Reception("unavailable")).status == 503
        assert adapter.respond(self.told("X", {}), Reception("ignored")).body == {"status": "received"}
