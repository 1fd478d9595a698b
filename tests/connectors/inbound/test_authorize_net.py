"""Authorize.Net as a source: the suite, then what only this sender says, and what is asked of its API."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.errors import PayloadInvalid, Unreachable
from bridge.contract.inbound import InboundEvent, Lookup
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows, open_session
from tests.connectors.inbound.payments_rig import ALTERATIONS, altered, altered_text, served, shop
from tests.suites.inbound import PAYLOADS, InboundSuite, refused, request

KEY = "0123456789ABCDEF" * 8
FOLDER = PAYLOADS / "authorize_net"
SALE, REFUND = (orjson.loads((FOLDER / f"{name}.answer.json").read_bytes()) for name in ("sale", "refund"))
BOUGHT = EnrollmentCommand(
    action=Action.ENROLL,
    occurred_at=datetime(2024, 3, 29, 20, 48, 0, 390_000, tzinfo=UTC),
    event_key="d0e8e7fe-c3e7-4add-a480-27bc5ce28a18",
    business_key="60020981676",
    learner=Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace", phone="(619) 274-0494"),
    items=(
        Item(remote_product_id="INTRO", amount_paid=Decimal("49.9")),
        Item(remote_product_id="WEB", quantity=2, amount_paid=Decimal("10.0")),
    ),
    order=Order(
        number="INV-60", status="capturedPendingSettlement", total=Decimal("59.9"), transaction_id="60020981676"
    ),
)
REFUNDED = EnrollmentCommand(
    action=Action.REFUND,
    occurred_at=datetime(2024, 4, 2, 9, 0, 0, 123_456, tzinfo=UTC),
    event_key="n-refund",
    business_key="60020981676",
    refund=Refund(full=True),
    order=Order(transaction_id="60020981676"),
)


def signed(body: bytes, key: bytes = KEY.encode()) -> InboundEvent:
    return request(
        body, headers={"x-anet-signature": f"sha512={hmac.new(key, body, hashlib.sha512).hexdigest().upper()}"}
    )


def said(answer: Any, status: int = 200, **headers: str) -> Callable[[], web.Response]:
    body = answer if isinstance(answer, bytes) else b"\xef\xbb\xbf" + orjson.dumps(answer)
    return lambda: web.Response(body=body, status=status, headers=headers, content_type="application/json")


def with_fields(answer: Any, **fields: Any) -> Any:
    return {**answer, "transaction": {**answer["transaction"], **fields}}


def error(code: str) -> Any:
    return {"messages": {"resultCode": "Error", "message": [{"code": code, "text": "No."}] if code else []}}


class TestAuthorizeNet(InboundSuite):
    """Thin events, signed over the raw body."""

    type = "authorize_net"
    source: ClassVar[dict[str, Any]] = {
        "signing_secrets": KEY,
        "api_login_id": "5KP3u95bQpv",
        "transaction_key": "346HZ32z3fP4hTG2",
    }
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "authcapture.json": [],
        "refund.json": [],
        "void.json": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=datetime(2024, 3, 29, 21, tzinfo=UTC),
                event_key="n-void",
                business_key="60020981676",
                order=Order(transaction_id="60020981676"),
            )
        ],
        "subscription_cancelled.json": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=datetime(2024, 6, 1, tzinfo=UTC),
                event_key="n-cancelled",
                order=Order(subscription_id="4521361"),
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return signed(payload)

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        shown = event.headers["x-anet-signature"]
        digest = shown.removeprefix("sha512=")
        wrong = {
            "empty": "",
            "without its scheme": digest,
            "of another scheme": f"sha256={digest}",
            "cut": shown[:-1],
            "in base64": "sha512=" + base64.b64encode(bytes.fromhex(digest)).decode(),
            "of another key": signed(event.body, b"other").headers["x-anet-signature"],
            "of half the key": signed(event.body, bytes.fromhex(KEY)[:32]).headers["x-anet-signature"],
            "of no key": signed(event.body, b"").headers["x-anet-signature"],
        }
        return {
            **{how: replace(event, headers={"x-anet-signature": text}) for how, text in wrong.items()},
            "absent": replace(event, headers={}),
            "of another body": replace(event, body=event.body + b" "),
        }

    def told(self, name: str, **changes: Any) -> InboundEvent:
        event = self.load(name)
        return replace(event, body=orjson.dumps({**event.json, **changes}))

    async def found(self, name: str, *answers: Callable[[], web.Response], **settings: Any) -> Any:
        """What the lookup of an event comes to when the API answers so."""
        adapter: Any = self.adapter(**settings)
        event = self.load(name)
        [lookup] = adapter.lookups(event)
        async with served(*answers) as (_, http):
            return await adapter.look_up(event, lookup, http)

    def test_the_vectors_of_the_facts_are_accepted(self) -> None:
        """The key as text, and decoded."""
        vectors = orjson.loads((FOLDER / "vectors.json").read_bytes())
        assert len(vectors) == 2
        for vector in vectors:
            headers = {name.lower(): value for name, value in vector["headers"].items()}
            event = request(base64.b64decode(vector["body_b64"]), headers=headers)
            assert not refused(self.adapter(signing_secrets=vector["secret"]), event)
            assert refused(self.adapter(), event)

    def test_only_a_whole_key_is_decoded(self) -> None:
        """Of spaces nothing would be left, and anybody could sign."""
        for key in (" ", "00", KEY[:-2], KEY + "00", KEY[:-1] + " "):
            for tried in (b"", bytes.fromhex(KEY[:-2]), b"\0"):
                assert refused(self.adapter(signing_secrets=key), signed(b"{}", tried))

    @pytest.mark.parametrize("key", [KEY.encode(), bytes.fromhex(KEY)])
    def test_hex_may_be_in_lower_case(self, key: bytes) -> None:
        """Under either form of the key."""
        event = signed(b"{}", key)
        assert not refused(self.adapter(), event)
        lower = event.headers["x-anet-signature"].lower()
        assert not refused(self.adapter(), replace(event, headers={"x-anet-signature": lower}))

    @given(data=st.data())
    @ALTERATIONS
    def test_any_alteration_breaks_the_signature(self, data: st.DataObject) -> None:
        """Of the body, or of the signature under either form of the key."""
        key = data.draw(st.sampled_from((KEY.encode(), bytes.fromhex(KEY))))
        event = signed(self.load("authcapture.json").body, key)
        assert refused(self.adapter(), replace(event, body=data.draw(altered(event.body))))
        digest = data.draw(altered_text(event.headers["x-anet-signature"].removeprefix("sha512=")))
        assert refused(self.adapter(), replace(event, headers={"x-anet-signature": f"sha512={digest}"}))

    def test_takes_both_keys_while_they_change(self) -> None:
        """The new one first."""
        adapter = self.adapter(signing_secrets=["new", "old"])
        for key, wanted in {"new": False, "old": False, KEY: True}.items():
            assert refused(adapter, signed(b"{}", key.encode())) is wanted

    def test_sales_and_refunds_are_asked_about(self) -> None:
        """Nothing else is."""
        adapter: Any = self.adapter()
        kinds = {
            "authcapture.created": "sale",
            "capture.created": "sale",
            "priorAuthCapture.created": "sale",
            "fraud.approved": "sale",
            "refund.created": "refund",
            "authorization.created": None,
            "fraud.held": None,
            "void.created": None,
        }
        for what, kind in kinds.items():
            event = self.told("authcapture.json", eventType=f"net.authorize.payment.{what}")
            assert list(adapter.lookups(event)) == ([Lookup(kind, "60020981676", BOUGHT.event_key)] if kind else [])
        for body in (b"{", b"[]", b'{"eventType": "net.authorize.payment.refund.created"}'):
            assert list(adapter.lookups(request(body))) == []

    def test_an_event_that_names_no_transaction_waits(self) -> None:
        """There would be nothing to ask."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(self.told("authcapture.json", payload={}))
        assert list(invalid.value.faults) == ["payload.id"]

    def test_a_subscription_that_made_all_its_payments_ends_where_the_seller_says_so(self) -> None:
        """Instalments end so, and what was paid for stays."""
        expired = self.told("subscription_cancelled.json", eventType="net.authorize.customer.subscription.expired")
        assert self.adapter().normalise(expired) == []
        [command] = self.adapter(expiry_ends_access=True).normalise(expired)
        assert isinstance(command, EnrollmentCommand)
        assert (command.action, command.order) == (Action.CANCEL, Order(subscription_id="4521361"))

    async def test_a_sale_is_asked_for_and_becomes_a_purchase(self) -> None:
        """At the address of the settings, with the credentials in the body and in the order that the API wants."""
        adapter: Any = self.adapter()
        event = self.load("authcapture.json")
        async with served(said(SALE)) as (api, http):
            assert await adapter.look_up(event, Lookup("sale", "60020981676"), http) == [BOUGHT]
        [(method, path, _, body)] = api.asked
        assert (method, path) == ("POST", "/xml/v1/request.api")
        assert body == (
            b'{"getTransactionDetailsRequest":{"merchantAuthentication":{"name":"5KP3u95bQpv",'
            b'"transactionKey":"346HZ32z3fP4hTG2"},"transId":"60020981676"}}'
        )

    @pytest.mark.parametrize("status", ["settledSuccessfully", "capturedPendingSettlement"])
    async def test_a_captured_sale_is_paid(self, status: str) -> None:
        """Before it is settled, too."""
        assert len(await self.found("authcapture.json", said(with_fields(SALE, transactionStatus=status)))) == 1

    @pytest.mark.parametrize("status", ["FDSPendingReview", "authorizedPendingCapture", "declined", "voided", "", None])
    async def test_a_sale_that_is_not_paid_means_nothing(self, status: str | None) -> None:
        """Another event tells when it is."""
        assert await self.found("authcapture.json", said(with_fields(SALE, transactionStatus=status))) == []

    @pytest.mark.parametrize("held", ["dict", "list"])
    async def test_line_items_stand_in_a_list_or_as_in_xml(self, held: str) -> None:
        """One alone, too."""
        line = {"itemId": "ONE", "quantity": "2.00", "unitPrice": "1.50"}
        lines = {"lineItem": line if held == "dict" else [line]}
        [command] = await self.found("authcapture.json", said(with_fields(SALE, lineItems=lines)))
        assert command.items == (Item(remote_product_id="ONE", quantity=2, amount_paid=Decimal("3.00")),)

    async def test_without_line_items_the_operator_says_what_the_product_is(self) -> None:
        """Recurring billing has none; else it waits."""
        answer = said(with_fields(SALE, lineItems=None, subscription={"id": 4521361, "payNum": 2}))
        with pytest.raises(PayloadInvalid) as invalid:
            await self.found("authcapture.json", answer)
        assert list(invalid.value.faults) == ["transaction.lineItems"]
        for setting, product in (("description", "Introduction"), ("invoice_number", "INV-60")):
            [command] = await self.found("authcapture.json", answer, without_lines=setting)
            assert command.items == (Item(remote_product_id=product, amount_paid=Decimal("59.9")),)
            assert command.order.subscription_id == "4521361"

    async def test_a_sale_without_an_e_mail_waits(self) -> None:
        """The checkout has to send it."""
        with pytest.raises(PayloadInvalid) as invalid:
            await self.found("authcapture.json", said(with_fields(SALE, customer={})))
        assert list(invalid.value.faults) == ["transaction.customer.email"]

    async def test_a_refund_names_its_sale(self) -> None:
        """Whose amount says whether it was full."""
        assert await self.found("refund.json", said(REFUND), said(SALE)) == [REFUNDED]
        [command] = await self.found("refund.json", said(with_fields(REFUND, settleAmount=10)), said(SALE))
        assert command.refund == Refund(full=False)

    async def test_a_refund_that_came_to_nothing_is_none(self) -> None:
        """It was voided before it was settled."""
        assert await self.found("refund.json", said(with_fields(REFUND, transactionStatus="voided"))) == []

    async def test_a_refund_without_its_sale_waits(self) -> None:
        """Money that was given to somebody, for whatever."""
        with pytest.raises(PayloadInvalid) as invalid:
            await self.found("refund.json", said(with_fields(REFUND, refTransId="")))
        assert list(invalid.value.faults) == ["transaction.refTransId"]

    @pytest.mark.parametrize(
        ("answer", "outcome"),
        [
            (said(b"slow down", 429, **{"Retry-After": "7"}), TryLater),
            (said(b"", 500), TryLater),
            (said(b"<html>a proxy</html>"), TryLater),
            (said(b""), TryLater),
            (said([1]), TryLater),
            (said({"transaction": None}), TryLater),
            (said(with_fields(SALE, transId="1")), TryLater),
            (said(b"", 404), Refused),
            (said(b"", 401), NeedsOperator),
            (said(b"", 302, Location="https://x.example/"), NeedsOperator),
            (said(error("E00007")), NeedsOperator),
            (said(error("E00011")), NeedsOperator),
            (said(error("E00040")), Refused),
            (said(error("E00053")), TryLater),
            (said(error("")), TryLater),
        ],
    )
    async def test_a_bad_answer_loses_no_sale(self, answer: Any, outcome: type) -> None:
        """It is asked again, or a person is told; also when only the refunded sale was not to be had."""
        for outcomes in (
            await self.found("authcapture.json", answer),
            await self.found("refund.json", said(REFUND), answer),
        ):
            assert isinstance(outcomes, outcome)
            assert not [secret for secret in self.secrets() if secret in repr(outcomes)]
            if getattr(outcomes, "cause", "") == "throttled":
                assert outcomes.after == 7

    async def test_nobody_there_is_a_fault_of_the_transport(self) -> None:
        """The lookup stays open."""
        adapter: Any = self.adapter()
        async with open_session() as session:
            http = Http("http://127.0.0.1:1", Windows((), SystemClock()), 2.0, session)
            with pytest.raises(Unreachable):
                await adapter.look_up(self.load("authcapture.json"), Lookup("sale", "60020981676"), http)

    async def test_hostile_answers_are_invalid_or_asked_again(self) -> None:
        """Whatever stands in the fields."""
        values = (None, [], {}, 1e308, -1, "x" * 600, "\0", [[]], [None], True, "NaN", {"email": []})
        answers = [with_fields(SALE, **{field: value}) for value in values for field in SALE["transaction"]]
        adapter: Any = self.adapter()
        event = self.load("authcapture.json")
        async with served(*(said(answer) for answer in answers)) as (_, http):
            for _ in answers:
                with suppress(PayloadInvalid):
                    found = await adapter.look_up(event, Lookup("sale", "60020981676"), http)
                    assert isinstance(found, list | TryLater)

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
    async def test_a_sale_is_one_registration_a_product_until_it_is_refunded(self, tmp_path: Path, order: Any) -> None:
        """Told by two events, in whatever order."""
        again = self.told(
            "authcapture.json", notificationId="n-again", eventType="net.authorize.payment.fraud.approved"
        )
        asked = [
            (self.load("authcapture.json"), [said(SALE)]),
            (again, [said(SALE)]),
            (self.load("refund.json"), [said(REFUND), said(SALE)]),
        ]
        async with shop(tmp_path, self.adapter(), "INTRO", "WEB") as world:
            for place in order:
                event, answers = asked[place]
                async with served(*answers) as (_, http):
                    await world.look_up(event, http)
            assert await world.intents() == ["cancelled", "cancelled"]
            assert await world.waiting() == 0

    async def test_a_repeated_event_is_asked_about_once(self, tmp_path: Path) -> None:
        """Its id tells."""
        event = self.load("authcapture.json")
        async with shop(tmp_path, self.adapter(), "INTRO", "WEB") as world:
            await world.receive(event, event)
            assert await world.world.one("SELECT count(*) FROM lookup") == 1

    async def test_a_void_takes_the_sale_back(self, tmp_path: Path) -> None:
        """Before it is settled."""
        async with shop(tmp_path, self.adapter(), "INTRO", "WEB") as world, served(said(SALE)) as (_, http):
            await world.look_up(self.load("authcapture.json"), http)
            assert await world.intents() == ["live", "live"]
            await world.receive(self.load("void.json"))
            assert await world.intents() == ["cancelled", "cancelled"]
