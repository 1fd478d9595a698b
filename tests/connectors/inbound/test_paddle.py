"""Paddle as a source: the suite, then Billing, its lookup, and Classic."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import aiohttp
import orjson
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid, Unreachable
from bridge.contract.inbound import InboundEvent, Lookup
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from tests.suites.inbound import PAYLOADS, RECEIVED, InboundSuite, refused, request

SECRET = "pdl_ntfset_01j7br"
API_KEY = "pdl_live_apikey_01j7br"
TXN, SUB, CTM = "txn_01j7br78cgr083zqw1jhqym40s", "sub_01j7br9jpk4rmmcd5crn2th1bq", "ctm_01j7br89shp7xpaenx22h8qetw"
SEATS, ADDON, ONCE = (
    "pri_01gsz8x8sawmvhz1pv30nge1ke",
    "pri_01h1vjfevh5etwq3rb416a23h2",
    "pri_01gsz98e27ak2tyhexptwc58yk",
)
AT = datetime(2024, 9, 9, 16, 1, 32, 124939, tzinfo=UTC)


@cache
def account(number: int = 0) -> rsa.RSAPrivateKey:
    """The key of a Classic account; making one is slow."""
    assert number >= 0
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def php(fields: Mapping[str, str]) -> bytes:
    """Write an array as PHP's ``serialize`` does after ``ksort``."""
    parts = [f's:{len(text.encode())}:"{text}";' for name in sorted(fields) for text in (name, fields[name])]
    return f"a:{len(fields)}:{{{''.join(parts)}}}".encode()


def classic(fields: Mapping[str, str], key: rsa.RSAPrivateKey | None = None) -> InboundEvent:
    """An alert, signed."""
    left = {name: text for name, text in fields.items() if name != "p_signature"}
    signature = (key or account()).sign(php(left), PKCS1v15(), hashes.SHA1())
    return request(urlencode({**left, "p_signature": base64.b64encode(signature).decode()}).encode())


def billing(body: bytes, *, secret: str = SECRET, at: datetime = RECEIVED) -> InboundEvent:
    """An event of Billing, signed."""
    ts = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), ts.encode() + b":" + body, hashlib.sha256).hexdigest()
    return request(body, headers={"paddle-signature": f"ts={ts};h1={digest}"})


def told(kind: str, data: Mapping[str, Any], *, name: str = "evt_1", at: str = "2026-05-01T10:00:00Z") -> InboundEvent:
    body = {"event_id": name, "event_type": kind, "occurred_at": at, "notification_id": "ntf_1", "data": data}
    return billing(orjson.dumps(body))


def item(product: str, paid: str, line: str, quantity: int = 1) -> Item:
    return Item(remote_product_id=product, quantity=quantity, amount_paid=Decimal(paid), currency="USD", line=line)


SAM = Learner(email="sam@example.com", first_name="Sam", last_name="Miller")
BOUGHT = Order(
    number="325-11889",
    status="completed",
    total=Decimal("652.15"),
    currency="USD",
    coupon=None,
    payment_method="card",
    transaction_id=TXN,
    refs=("inv_01j7br9jq8k57phrbkyehe9kwj",),
)
SUBSCRIBED = EnrollmentCommand(
    action=Action.ENROLL,
    occurred_at=AT,
    event_key="evt_01j7br9myw2s8wzb7t8x73f7sn",
    business_key=TXN,
    learner=SAM,
    items=(
        item(SEATS, "326.62", "txnitm_01j7br8aeyz8r6wm2zywjw97d4", 10),
        item(ADDON, "108.87", "txnitm_01j7br8aez018mgmrj3bpmxmh7"),
    ),
    order=BOUGHT.model_copy(update={"subscription_id": SUB}),
    options=Options(expires_at=datetime(2024, 10, 12, 16, 1, 29, 378686, tzinfo=UTC)),
)
ONCE_FOR_ALL = EnrollmentCommand(
    action=Action.ENROLL,
    occurred_at=AT,
    event_key=SUBSCRIBED.event_key,
    business_key=TXN,
    learner=SAM,
    items=(item(ONCE, "216.66", "txnitm_01j7br8aez018mgmrj3e9nbbr7"),),
    order=BOUGHT,
)
WAITING = EnrollmentCommand(
    action=Action.REFUND,
    occurred_at=datetime(2024, 9, 9, 16, 11, 23, 495326, tzinfo=UTC),
    event_key="evt_01j7brvpf76ndzrenetzbk8m0x",
    business_key=TXN,
    order=Order(transaction_id=TXN, refs=("adj_01j7brvp4836axtqpwvpgdssh7",)),
    refund=Refund(full=False, pending=True),
)


def of_order(action: Action, alert: str, order: str, at: datetime, **more: Any) -> EnrollmentCommand:
    known = Order(transaction_id=order)
    return EnrollmentCommand(action=action, occurred_at=at, event_key=alert, business_key=order, order=known, **more)


PAID = EnrollmentCommand(
    action=Action.ENROLL,
    occurred_at=datetime(2023, 3, 8, 9, 32, 47, tzinfo=UTC),
    event_key="1367177662",
    business_key="4",
    learner=Learner(email="gschimmel@example.org", first_name="customer_name"),
    items=(Item(remote_product_id="1", quantity=53, amount_paid=Decimal("912.59"), currency="GBP"),),
    order=Order(
        number="4",
        status=None,
        total=Decimal("912.59"),
        currency="GBP",
        coupon="Coupon 9",
        payment_method="card",
        transaction_id="4",
        subscription_id=None,
    ),
)


class Customers:
    """Paddle's API on loopback: customers by id, or a status."""

    def __init__(self, found: Any) -> None:
        self.found = found
        self.asked: list[tuple[str, str]] = []

    async def answer(self, asked: web.Request) -> web.Response:
        self.asked.append((asked.raw_path, asked.headers.get("Authorization", "")))
        if isinstance(self.found, int):
            return web.json_response({"error": {"code": "x"}}, status=self.found)
        return web.json_response({"data": self.found})

    @asynccontextmanager
    async def serving(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession() as session:
                yield Http(f"http://127.0.0.1:{runner.addresses[0][1]}", Windows((), SystemClock()), 5.0, session)
        finally:
            await runner.cleanup()


class TestPaddle(InboundSuite):
    """Billing and Classic at one address."""

    type = "paddle"
    source: ClassVar[dict[str, Any]] = {"signing_secrets": SECRET, "public_key": public(account())}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "transaction.completed.custom_data.json": [SUBSCRIBED, ONCE_FOR_ALL],
        "adjustment.created.hookdeck.json": [WAITING],
        "customer.created.hookdeck.json": [],
        "classic.payment_succeeded.hookdeck.json": [PAID],
        "classic.payment_refunded.hookdeck.json": [
            of_order(
                Action.REFUND,
                "1873493642",
                "3",
                datetime(2023, 3, 8, 9, 33, 2, tzinfo=UTC),
                refund=Refund(full=False),
            )
        ],
        "classic.payment_dispute_created.hookdeck.json": [
            of_order(Action.SUSPEND, "649721479", "2", datetime(2023, 3, 8, 9, 33, 29, tzinfo=UTC))
        ],
        "classic.subscription_created.hookdeck.json": [],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        body = orjson.loads(payload)["body"]
        return classic(body) if name.startswith("classic.") else billing(orjson.dumps(body))

    def places(self) -> list[InboundEvent]:
        return [self.load("customer.created.hookdeck.json"), self.load("classic.payment_dispute_created.hookdeck.json")]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        if event.body[:1] != b"{":
            fields = dict(parse_qsl(event.body.decode(), keep_blank_values=True))
            without = {name: text for name, text in fields.items() if name != "p_signature"}
            return {
                "absent": replace(event, body=urlencode(without).encode()),
                "empty": replace(event, body=urlencode({**fields, "p_signature": ""}).encode()),
                "no base64": replace(event, body=urlencode({**fields, "p_signature": "ä"}).encode()),
                "another account's": classic(fields, account(1)),
                "with a field more": replace(event, body=event.body + b"&extra=1"),
                "with a field overruled": replace(event, body=event.body + b"&order_id=1"),
            }
        given = event.headers["paddle-signature"]
        ts, _, digest = given.partition(";")
        headers = {
            "absent": {},
            "empty": {"paddle-signature": ""},
            "without a time": {"paddle-signature": digest},
            "with two times": {"paddle-signature": f"{ts};{given}"},
            "with a time that is no number": {"paddle-signature": f"ts=1e9;{digest}"},
            "without a digest": {"paddle-signature": ts},
            "of another algorithm": {"paddle-signature": given.replace("h1", "h2")},
            "in another header": {"x-signature": given},
        }
        return {
            **{how: replace(event, headers=said) for how, said in headers.items()},
            "another destination's": billing(event.body, secret="pdl_ntfset_other"),
            "of another body": replace(event, body=event.body + b" "),
            "too old": billing(event.body, at=RECEIVED - timedelta(days=4, seconds=1)),
            "from the future": billing(event.body, at=RECEIVED + timedelta(minutes=6)),
        }

    def the(self, event: InboundEvent, **changes: Any) -> EnrollmentCommand:
        (found,) = self.adapter(**changes).normalise(event)
        return found

    def test_the_other_captured_events(self) -> None:
        """They give and take nothing: what recurs is taken when its transaction is completed, and has its subscription."""
        names = ("transaction.paid", "transaction.payment_failed", "subscription.created", "subscription.activated")
        for name in names:
            assert self.adapter().normalise(self.load(f"{name}.hookdeck.json")) == []

    # What the operator may write

    @pytest.mark.parametrize(
        "changes",
        [
            {"signing_secrets": [], "public_key": []},
            {"public_key": "MIICIjANBgkqhkiG9w0BAQEFAAOC"},
            {"public_key": public(ec.generate_private_key(ec.SECP256R1()))},
            {"api_key": ""},
        ],
    )
    def test_settings_that_can_verify_nothing_are_faults(self, changes: dict[str, Any]) -> None:
        """A source without a verifier does not start."""
        with pytest.raises(ValidationError):
            self.adapter(**changes)

    def test_each_kind_needs_its_own_key(self) -> None:
        """What the source has no key for is not proven."""
        one, other = self.places()
        assert refused(self.adapter(signing_secrets=[]), one)
        assert not refused(self.adapter(signing_secrets=[]), other)
        assert refused(self.adapter(public_key=[]), other)
        assert not refused(self.adapter(public_key=[]), one)

    # The signature of Billing

    @pytest.mark.parametrize("place", [0, 1])
    def test_the_sdks_signatures_are_good(self, place: int) -> None:
        """Also with several digests, one of which fits."""
        vector = orjson.loads((PAYLOADS / "paddle" / "signatures.vectors.json").read_bytes())[place]
        headers = {name.lower(): text for name, text in vector["headers"].items()}
        event = request(base64.b64decode(vector["body_b64"]), headers=headers)
        event = replace(event, received_at=datetime.fromtimestamp(vector["now"], UTC))
        assert not refused(self.adapter(signing_secrets=["another", vector["secret"]]), event)
        assert refused(self.adapter(), event)

    def test_unknown_parts_of_the_header_do_no_harm(self) -> None:
        """A second algorithm may come one day."""
        event = self.load("customer.created.hookdeck.json")
        headers = {"paddle-signature": event.headers["paddle-signature"] + ";h2=0123;x"}
        assert not refused(self.adapter(), replace(event, headers=headers))

    def test_a_retry_may_be_days_old(self) -> None:
        """Whether it is signed anew is contested; how old it may be is the operator's."""
        body = self.load("customer.created.hookdeck.json").body
        assert not refused(self.adapter(), billing(body, at=RECEIVED - timedelta(days=3, hours=23)))
        assert refused(self.adapter(tolerance="5s"), billing(body, at=RECEIVED - timedelta(seconds=6)))

    @given(data=st.data())
    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    def test_one_changed_byte_proves_nothing(self, data: st.DataObject) -> None:
        """In the body, in the time or in the digest."""
        event = self.load("customer.created.hookdeck.json")
        place = data.draw(st.integers(0, len(event.body) + len(event.headers["paddle-signature"]) - 1))
        header = event.headers["paddle-signature"].encode()
        text, place = (event.body, place) if place < len(event.body) else (header, place - len(event.body))
        byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[place]))
        changed = text[:place] + bytes([byte]) + text[place + 1 :]
        if text is header:
            forged = replace(event, headers={"paddle-signature": changed.decode("latin-1")})
        else:
            forged = replace(event, body=changed)
        assert refused(self.adapter(), forged)

    # Purchases of Billing

    def transaction(self, **changed: Any) -> dict[str, Any]:
        data = orjson.loads((PAYLOADS / "paddle" / "transaction.completed.custom_data.json").read_bytes())
        return {**data["body"]["data"], **changed}

    def test_paid_and_completed_are_one_purchase(self) -> None:
        """With the same key and the same lines, whichever comes first; and a renewal's subscription is known at once."""
        data = self.transaction()
        for kind in ("transaction.paid", "transaction.completed"):
            found = self.adapter().normalise(told(kind, data))
            assert [(one.business_key, one.items) for one in found] == [
                (TXN, SUBSCRIBED.items),
                (TXN, ONCE_FOR_ALL.items),
            ]

    def test_a_single_purchase_is_taken_when_it_is_paid(self) -> None:
        """It belongs to no subscription that would still have to come into being."""
        data = self.transaction(items=self.transaction()["items"][2:], subscription_id=None, billing_period=None)
        data["details"]["line_items"] = data["details"]["line_items"][2:]
        found = self.the(told("transaction.paid", data))
        assert (found.items, found.order.subscription_id, found.options) == (ONCE_FOR_ALL.items, None, Options())

    def test_what_was_bought_once_outlives_the_subscription(self) -> None:
        """Only what recurs ends with its period and with its subscription."""
        recurring, once = self.adapter().normalise(self.load("transaction.completed.custom_data.json"))
        assert (recurring.order.subscription_id, once.order.subscription_id) == (SUB, None)
        assert once.options.expires_at is None

    def test_every_period_is_a_purchase_of_its_own(self) -> None:
        """Its transaction is another, and so is its end; the days of grace are the operator's."""
        data = self.transaction(
            id="txn_2", origin="subscription_recurring", billing_period={"ends_at": "2026-06-01T00:00:00Z"}
        )
        found = self.adapter(period_grace="1d").normalise(told("transaction.completed", data))[0]
        assert found.business_key == "txn_2"
        assert found.options.expires_at == datetime(2026, 6, 2, tzinfo=UTC)

    def test_a_new_card_is_no_purchase(self) -> None:
        """It comes as a transaction of nothing for all items."""
        data = self.transaction(origin="subscription_payment_method_change")
        assert self.adapter().normalise(told("transaction.completed", data)) == []

    def test_a_price_made_for_one_sale_is_told_by_its_product(self) -> None:
        """Its own id never comes again, and nobody could map it."""
        data = self.transaction()
        data["items"][2]["price"]["type"] = "custom"
        found = self.adapter().normalise(told("transaction.completed", data))[1]
        assert found.items[0].remote_product_id == "pro_01gsz97mq9pa4fkyy0wqenepkz"

    @pytest.mark.parametrize(("currency", "total"), [("JPY", "65215"), ("USD", "652.15"), ("KWD", "65.215")])
    def test_amounts_are_in_the_currencys_smallest_unit(self, currency: str, total: str) -> None:
        """Yen have none smaller."""
        found = self.adapter().normalise(told("transaction.completed", self.transaction(currency_code=currency)))[0]
        assert found.order.total == Decimal(total)

    def test_without_an_email_it_waits_for_a_person(self) -> None:
        """And is told what to pass. The name of the field is the seller's."""
        for passed in (None, {}, {"email": ""}, "text"):
            event = told("transaction.completed", self.transaction(custom_data=passed))
            with pytest.raises(PayloadInvalid) as invalid:
                self.adapter().normalise(event)
            assert list(invalid.value.faults) == ["data.custom_data.email"]
        event = told("transaction.completed", self.transaction(custom_data={"user_email": "ada@example.org"}))
        (first, _) = self.adapter(email_field="user_email").normalise(event)
        assert first.learner == Learner(email="ada@example.org")

    # What ends them

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ({"status": "approved"}, (Refund(full=False), ["txnitm_01j7br8aez018mgmrj3bpmxmh7"])),
            ({"status": "approved", "type": "full"}, (Refund(full=True), [])),
            ({"status": "approved", "items": [{"type": "partial", "item_id": "x"}]}, (Refund(full=False), [])),
            ({"status": "pending_approval", "type": "full"}, (Refund(full=True, pending=True), [])),
            ({"status": "rejected"}, None),
            ({"action": "credit", "status": "approved"}, None),
            ({"action": "chargeback_warning", "status": "approved"}, None),
        ],
    )
    def test_a_refund_counts_once_it_is_approved(self, changed: dict[str, Any], expected: Any) -> None:
        """Whole lines are taken back, part of a line's money is only noted."""
        sample = orjson.loads((PAYLOADS / "paddle" / "adjustment.created.hookdeck.json").read_bytes())["body"]["data"]
        for kind in ("adjustment.created", "adjustment.updated"):
            found = self.adapter().normalise(told(kind, {**sample, **changed}))
            if expected is None:
                assert found == []
            else:
                (one,) = found
                assert (one.action, one.business_key) == (Action.REFUND, TXN)
                assert (one.refund, [item.line for item in one.items]) == expected

    def test_a_chargeback_suspends_until_it_is_reversed(self) -> None:
        """Paddle contests it, and may win."""
        base = {"id": "adj_1", "status": "approved", "transaction_id": TXN}
        for kind, action in (("chargeback", Action.SUSPEND), ("chargeback_reverse", Action.RESUME)):
            found = self.the(told("adjustment.created", {**base, "action": kind}))
            assert (found.action, found.business_key) == (action, TXN)
            waiting = told("adjustment.created", {**base, "action": kind, "status": "pending_approval"})
            assert self.adapter().normalise(waiting) == []

    @pytest.mark.parametrize(
        ("kind", "action"), [("canceled", Action.CANCEL), ("paused", Action.SUSPEND), ("resumed", Action.RESUME)]
    )
    def test_what_becomes_of_a_subscription_concerns_all_its_periods(self, kind: str, action: Action) -> None:
        """So nothing narrower is named."""
        found = self.the(told(f"subscription.{kind}", {"id": SUB, "status": kind}))
        assert (found.action, found.order, found.business_key) == (action, Order(subscription_id=SUB), None)

    # The lookup

    async def found(self, event: InboundEvent, customers: Customers) -> Any:
        adapter: Any = self.adapter(api_key=API_KEY)
        assert adapter.normalise(event) == []
        (lookup,) = adapter.lookups(event)
        async with customers.serving() as http:
            return await adapter.look_up(event, lookup, http)

    async def test_the_buyer_is_asked_for_where_there_is_a_key(self) -> None:
        """The rest is what the transaction says, as if the checkout had passed the e-mail."""
        customers = Customers({"id": CTM, "name": "Sam Miller", "email": "sam@example.com"})
        event = self.load("transaction.completed.hookdeck.json")
        found = await self.found(event, customers)
        assert found == [SUBSCRIBED, ONCE_FOR_ALL]
        assert customers.asked == [(f"/customers/{CTM}", f"Bearer {API_KEY}")]

    def test_only_purchases_are_looked_up(self) -> None:
        """And none where there is no key."""
        for name in self.captured:
            for changes in ({}, {"api_key": API_KEY}):
                adapter: Any = self.adapter(**changes)
                wanted = [Lookup("customer", CTM)] if changes and name.startswith("transaction.") else []
                assert adapter.lookups(self.load(name)) == wanted

    async def test_the_id_is_quoted(self) -> None:
        """It leads nowhere else."""
        customers = Customers(404)
        event = told("transaction.completed", self.transaction(customer_id="../transactions?x#"))
        assert isinstance(await self.found(event, customers), Refused)
        assert [path for path, _ in customers.asked] == ["/customers/..%2Ftransactions%3Fx%23"]

    @pytest.mark.parametrize(
        ("status", "kind"), [(404, Refused), (400, Refused), (401, NeedsOperator), (429, TryLater), (500, TryLater)]
    )
    async def test_what_the_api_can_not_tell(self, status: int, kind: type) -> None:
        """Unknown for good, later, or a person's work."""
        event = self.load("transaction.completed.hookdeck.json")
        assert isinstance(await self.found(event, Customers(status)), kind)

    async def test_a_customer_without_an_email_waits_for_a_person(self) -> None:
        """And an API that is not there is asked again."""
        event = self.load("transaction.completed.hookdeck.json")
        with pytest.raises(PayloadInvalid) as invalid:
            await self.found(event, Customers({"id": CTM, "name": None, "email": None}))
        assert list(invalid.value.faults) == ["data.email"]
        adapter: Any = self.adapter(api_key=API_KEY)
        async with aiohttp.ClientSession() as session:
            http = Http("http://127.0.0.1:1", Windows((), SystemClock()), 2.0, session)
            with pytest.raises(Unreachable):
                await adapter.look_up(event, Lookup("customer", CTM), http)

    # Classic

    def alert(self, kind: str, **fields: str) -> InboundEvent:
        base = {
            "alert_id": "7",
            "alert_name": kind,
            "event_time": "2026-05-01 10:00:00",
            "order_id": "11-22",
            "email": "ada@example.org",
            "customer_name": "Ada King Lovelace",
            "currency": "EUR",
        }
        return classic({**base, **fields})

    @given(data=st.data())
    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    def test_one_changed_field_proves_nothing(self, data: st.DataObject) -> None:
        """Of its name, of its value or of the signature."""
        event = self.load("classic.payment_dispute_created.hookdeck.json")
        fields = dict(parse_qsl(event.body.decode(), keep_blank_values=True))
        name = data.draw(st.sampled_from(sorted(fields)))
        part = data.draw(st.sampled_from((name, fields[name])))
        place = data.draw(st.integers(0, len(part) - 1))
        letter = data.draw(st.characters(codec="utf-8").filter(lambda letter: letter != part[place]))
        changed = part[:place] + letter + part[place + 1 :]
        kept = {other: text for other, text in fields.items() if other != name}
        forged = {**kept, **({changed: fields[name]} if part == name else {name: changed})}
        if forged != fields:
            assert refused(self.adapter(), replace(event, body=urlencode(forged).encode()))

    def test_one_signature_has_one_spelling(self) -> None:
        """The spare bits of its last character say nothing, and must be what they are."""
        event = self.load("classic.payment_dispute_created.hookdeck.json")
        fields = dict(parse_qsl(event.body.decode(), keep_blank_values=True))
        text = fields["p_signature"]
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        spellings = [f"{text[:-3]}{letter}==" for letter in letters]
        same = [one for one in spellings if base64.b64decode(one) == base64.b64decode(text)]
        assert len(same) > 1
        for one in same:
            forged = replace(event, body=urlencode({**fields, "p_signature": one}).encode())
            assert refused(self.adapter(), forged) is (one != text)

    def test_lengths_are_counted_in_bytes(self) -> None:
        """As PHP does; and several keys may be good."""
        event = self.alert("payment_succeeded", customer_name="Zoë 日本", passthrough='a";s:1:"b', product_id="1")
        assert not refused(self.adapter(), event)
        keys = [public(account(1)), public(account())]
        assert not refused(self.adapter(public_key=keys), event)
        assert refused(self.adapter(public_key=keys[:1]), event)

    def test_every_payment_of_a_subscription_is_a_purchase(self) -> None:
        """By its order, until the next is due and some days more."""
        event = self.alert(
            "subscription_payment_succeeded",
            subscription_id="9",
            subscription_plan_id="77",
            next_bill_date="2026-06-01",
            sale_gross="10.00",
            quantity="2",
        )
        found = self.the(event)
        assert (found.event_key, found.business_key, found.order.subscription_id) == ("7", "11-22", "9")
        assert found.learner == Learner(email="ada@example.org", first_name="Ada King", last_name="Lovelace")
        assert found.items == (Item(remote_product_id="77", quantity=2, amount_paid=Decimal("10.00"), currency="EUR"),)
        assert found.options.expires_at == datetime(2026, 6, 4, tzinfo=UTC)

    def test_a_trial_is_a_purchase_before_anything_is_paid(self) -> None:
        """A subscription that begins with a payment is told by that."""
        fields = {"subscription_id": "9", "subscription_plan_id": "77", "next_bill_date": "2026-06-01"}
        found = self.the(self.alert("subscription_created", status="trialing", **fields))
        assert (found.business_key, found.items[0].remote_product_id) == ("9:trial", "77")
        assert self.adapter().normalise(self.alert("subscription_created", status="active", **fields)) == []

    @pytest.mark.parametrize(
        ("until", "ends"), [("2026-06-01", False), ("2026-04-30", True), ("2026-05-01 10:00:00", True), ("", True)]
    )
    def test_a_cancelled_subscription_lasts_as_long_as_it_is_paid_for(self, until: str, *, ends: bool) -> None:
        """It ends on the day that is told; otherwise now, with all its periods."""
        event = self.alert("subscription_cancelled", subscription_id="9", cancellation_effective_date=until)
        found = self.adapter().normalise(event)
        assert [(one.action, one.order, one.business_key) for one in found] == [
            (Action.CANCEL, Order(subscription_id="9"), None)
        ]
        assert (found[0].effective_at is None or found[0].effective_at <= found[0].occurred_at) is ends

    @pytest.mark.parametrize(("kind", "full"), [("full", True), ("partial", False), ("vat", False), ("", False)])
    def test_only_a_full_refund_takes_access(self, kind: str, *, full: bool) -> None:
        """A refund of the tax is none."""
        for name in ("payment_refunded", "subscription_payment_refunded"):
            found = self.the(self.alert(name, refund_type=kind))
            assert (found.action, found.refund, found.business_key) == (Action.REFUND, Refund(full=full), "11-22")

    def test_a_dispute_that_is_closed_was_won(self) -> None:
        """A lost one is never told, and stays suspended."""
        assert self.the(self.alert("payment_dispute_closed")).action is Action.RESUME

    def test_what_is_missing_is_named_as_paddle_writes_it(self) -> None:
        """It waits in quarantine for a person."""
        for name in ("email", "order_id"):
            with pytest.raises(PayloadInvalid) as invalid:
                self.adapter().normalise(self.alert("payment_succeeded", product_id="1", **{name: ""}))
            assert list(invalid.value.faults) == [name]
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(self.alert("payment_succeeded"))
        assert list(invalid.value.faults) == ["product_id"]

    @pytest.mark.parametrize("kind", ["", "new_audience_member", "subscription_updated"])
    def test_other_alerts_are_of_no_use(self, kind: str) -> None:
        """Also the fulfilment call, which has no name."""
        assert self.adapter().normalise(self.alert(kind)) == []
