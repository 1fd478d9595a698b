"""Braintree as a source: the suite, then what only this sender says."""

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
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import Handshakes, InboundEvent
from tests.connectors.inbound.payments_rig import ALTERATIONS, altered, altered_text, shop
from tests.suites.inbound import PAYLOADS, InboundSuite, refused, request

PUBLIC, PRIVATE = "integration_public_key", "integration_private_key"
ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace")


def hexed(payload: str, private: str = PRIVATE) -> str:
    return hmac.new(hashlib.sha1(private.encode()).digest(), payload.encode(), "sha1").hexdigest()


def posted(payload: str, signature: str) -> InboundEvent:
    return request(urlencode({"bt_signature": signature, "bt_payload": payload}).encode())


def signed(xml: bytes, public: str = PUBLIC, private: str = PRIVATE) -> InboundEvent:
    payload = base64.encodebytes(xml).decode()
    return posted(payload, f"{public}|{hexed(payload, private)}")


def vectors() -> dict[str, Any]:
    found = orjson.loads((PAYLOADS / "braintree" / "vectors.json").read_bytes())
    return {vector["name"]: vector for vector in found}


def bought(event_key: str, product: str, when: datetime, order: Order, until: datetime | None) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=Action.ENROLL,
        occurred_at=when,
        event_key=event_key,
        business_key=order.transaction_id,
        learner=ADA,
        items=(Item(remote_product_id=product, amount_paid=Decimal("49.90"), currency="USD"),),
        order=order.model_copy(
            update={"total": Decimal("49.90"), "currency": "USD", "payment_method": "credit_card"},
        ),
        options=Options(expires_at=until),
    )


def disputed(action: Action, kind: str, day: int) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=action,
        occurred_at=datetime(2024, 3, day, tzinfo=UTC),
        event_key=f"dispute_{kind}:d1",
        order=Order(transaction_id="tx7"),
    )


class TestBraintree(InboundSuite):
    """Forms that hold signed XML, and the challenge before them."""

    type = "braintree"
    source: ClassVar[dict[str, Any]] = {"public_key": PUBLIC, "private_key": PRIVATE}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "subscription_charged.xml": [
            bought(
                "subscription_charged_successfully:tx2",
                "intro-monthly",
                datetime(2024, 1, 15, 12, 29, 58, tzinfo=UTC),
                Order(transaction_id="tx2", subscription_id="sub1"),
                datetime(2024, 2, 15, tzinfo=UTC) + timedelta(days=3),
            )
        ],
        "transaction_settled.xml": [
            bought(
                "transaction_settled:tx7",
                "intro",
                datetime(2024, 1, 12, 8, tzinfo=UTC),
                Order(transaction_id="tx7", number="o-7"),
                None,
            )
        ],
        "dispute_opened.xml": [disputed(Action.SUSPEND, "opened", 1)],
        "dispute_won.xml": [disputed(Action.RESUME, "won", 5)],
        "dispute_lost.xml": [disputed(Action.CANCEL, "lost", 9)],
        "subscription_canceled.xml": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=datetime(2024, 2, 1, tzinfo=UTC),
                event_key="subscription_canceled:sub1",
                order=Order(subscription_id="sub1"),
                at_period_end=True,
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return signed(payload)

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        payload, signature = event.form["bt_payload"], event.form["bt_signature"]
        good = signature.partition("|")[2]
        wrong = {
            "empty": "",
            "without the public key": good,
            "of another public key": f"other|{good}",
            "of another private key": f"{PUBLIC}|{hexed(payload, 'other')}",
            "cut": signature[:-1],
            "under the key itself": f"{PUBLIC}|{hmac.new(PRIVATE.encode(), payload.encode(), 'sha1').hexdigest()}",
        }
        return {
            **{how: posted(payload, text) for how, text in wrong.items()},
            "of another payload": posted(payload.replace("P", "Q", 1), signature),
            "of a payload with other signs": posted(payload + "!", f"{PUBLIC}|{hexed(payload + '!')}"),
            "absent": request(urlencode({"bt_payload": payload}).encode()),
            "of nothing": posted("", f"{PUBLIC}|{hexed('')}"),
            "in no form": request(b"\xff=\xff"),
        }

    def meaning(self, name: str, *changes: tuple[str, str], **settings: Any) -> list[Any]:
        xml = (PAYLOADS / self.type / name).read_text()
        for old, new in changes:
            assert old in xml
            xml = xml.replace(old, new)
        return list(self.adapter(**settings).normalise(signed(xml.encode())))

    def faults(self, name: str, *changes: tuple[str, str]) -> list[str]:
        with pytest.raises(PayloadInvalid) as invalid:
            self.meaning(name, *changes)
        return list(invalid.value.faults)

    def test_the_official_challenge_is_answered(self) -> None:
        """As the vendor's libraries answer it."""
        vector = vectors()["braintree_challenge"]
        adapter = self.adapter(public_key=vector["public_key"], private_key=vector["private_key"])
        assert isinstance(adapter, Handshakes)
        challenge = vector["query"].partition("=")[2]
        response = adapter.handshake(request(method="GET", query={"bt_challenge": challenge}))
        assert response is not None
        assert (response.status, response.content_type) == (200, "text/plain")
        assert response.body == vector["expected_response_body"].encode()

    @pytest.mark.parametrize("challenge", ["a1" * 12, "0" * 20])
    def test_an_answered_challenge_is_no_way_in(self, challenge: str) -> None:
        """Anybody can have one signed; it is proof of nothing."""
        adapter = self.adapter()
        assert isinstance(adapter, Handshakes)
        response = adapter.handshake(request(method="GET", query={"bt_challenge": challenge}))
        assert response is not None
        form = urlencode({"bt_signature": response.body.decode(), "bt_payload": challenge})
        assert refused(adapter, request(form.encode()))

    @pytest.mark.parametrize(
        "challenge",
        ["", "a" * 19, "a" * 33, "A" * 20, "g" * 20, "a" * 20 + "\n", "a" * 20 + "=", "PG5vdGlmaWNhdGlvbj4="],
    )
    def test_nothing_else_is_ever_signed(self, challenge: str) -> None:
        """What is signed there could be a payload otherwise."""
        adapter = self.adapter()
        assert isinstance(adapter, Handshakes)
        assert adapter.handshake(request(method="GET", query={"bt_challenge": challenge})) is None
        assert adapter.handshake(request(method="POST", query={"bt_challenge": "a" * 20})) is None

    def test_the_vector_of_the_facts_is_accepted(self) -> None:
        """Its notification says no more than a subscription's id, so it waits."""
        event = request(base64.b64decode(vectors()["braintree_notification"]["body_b64"]))
        assert not refused(self.adapter(), event)
        assert refused(self.adapter(private_key="another"), event)
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(event)
        assert list(invalid.value.faults) == ["subject.subscription.transactions"]

    @given(data=st.data())
    @ALTERATIONS
    def test_any_alteration_breaks_the_signature(self, data: st.DataObject) -> None:
        """Of the payload or of the signature; only the last line break may get lost."""
        event = self.load("transaction_settled.xml")
        payload, signature = event.form["bt_payload"], event.form["bt_signature"]
        other = data.draw(altered(payload.encode())).decode("latin-1")
        assert refused(self.adapter(), posted(other, signature)) is (other != payload.removesuffix("\n"))
        assert refused(self.adapter(), posted(payload, data.draw(altered_text(signature))))

    def test_a_payload_may_have_lost_its_last_line_break(self) -> None:
        """It was signed with it."""
        event = self.load("transaction_settled.xml")
        assert not refused(self.adapter(), posted(event.form["bt_payload"].rstrip("\n"), event.form["bt_signature"]))

    def test_plus_signs_that_nobody_escaped_are_understood(self) -> None:
        """They arrive as spaces."""
        event = signed(b"<notification><kind>check</kind><x>>>>>~~~~</x></notification>")
        assert "+" in event.form["bt_payload"]
        unescaped = replace(event, body=event.body.replace(b"%2B", b"+"))
        assert not refused(self.adapter(), unescaped)

    def test_takes_both_pairs_of_keys_while_they_change(self) -> None:
        """Each signature counts under its own public key only; a post may carry several."""
        adapter = self.adapter(public_key=["new", "old"], private_key=["n", "o"])
        for public, private, wanted in (
            ("new", "n", False),
            ("old", "o", False),
            ("new", "o", True),
            ("other", "n", True),
        ):
            assert refused(adapter, signed(b"<a/>", public, private)) is wanted
        payload = base64.encodebytes(b"<a/>").decode()
        assert not refused(adapter, posted(payload, f"other|{'0' * 40}&old|{hexed(payload, 'o')}"))

    def test_each_public_key_has_its_private_key(self) -> None:
        """Otherwise nobody knows which belong together."""
        with pytest.raises(ValidationError, match="as many"):
            self.adapter(public_key=["a", "b"])

    @pytest.mark.parametrize(
        "xml",
        [
            b"",
            b"no xml",
            b"<a>",
            b"\xff\xfe",
            b'<?xml version="1.0" encoding="martian"?><a/>',
            b'<!DOCTYPE a [<!ENTITY b "c">]><notification><kind>&b;</kind></notification>',
            b'<!DOCTYPE a SYSTEM "http://x.example/a.dtd"><notification/>',
            b"<a>" * 5_000 + b"</a>" * 5_000,
        ],
    )
    def test_what_is_no_plain_xml_is_unreadable(self, xml: bytes) -> None:
        """No entities, no document types, no endless nesting."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(signed(xml or b" "))
        assert list(invalid.value.faults) == ["bt_payload"]

    @given(data=st.data())
    @ALTERATIONS
    def test_endures_any_xml(self, data: st.DataObject) -> None:
        """Signed or not."""
        xml = (PAYLOADS / self.type / data.draw(st.sampled_from(sorted(self.captured)))).read_bytes()
        self.endures(signed(data.draw(altered(xml))))
        tags = st.sampled_from(
            ("kind", "subject", "subscription", "transactions", "transaction", "id", "customer", "dispute")
        )
        text = data.draw(st.lists(tags, max_size=6).map(lambda names: "".join(f"<{n}>1</{n}>" for n in names)))
        for kind in ("subscription_charged_successfully", "transaction_settled", "dispute_opened"):
            xml = f"<notification><kind>{kind}</kind><subject>{text}</subject></notification>".encode()
            self.endures(signed(xml))

    def test_a_check_of_the_address_means_nothing(self) -> None:
        """Nor do kinds that take no money and give none."""
        for kind in ("check", "subscription_trial_ended", "disbursement"):
            assert self.meaning("subscription_canceled.xml", ("subscription_canceled", kind)) == []

    def test_a_settled_charge_of_a_subscription_is_told_by_its_own_notification(self) -> None:
        """Which knows the plan and the period."""
        change = ("<order-id>", "<subscription-id>sub1</subscription-id><order-id>")
        assert self.meaning("transaction_settled.xml", change) == []

    def test_an_inquiry_takes_no_access(self) -> None:
        """The bank only asks."""
        assert self.meaning("dispute_opened.xml", ("<id>d1</id>", "<id>d1</id><kind>retrieval</kind>")) == []

    def test_a_settled_credit_is_noted_with_its_purchase(self) -> None:
        """Whether it was all of the money, nobody says."""
        change = ("<type>sale</type>", "<type>credit</type><refunded-transaction-id>tx1</refunded-transaction-id>")
        [command] = self.meaning("transaction_settled.xml", change)
        assert (command.refund, command.order) == (Refund(full=False), Order(transaction_id="tx1"))

    def test_the_e_mail_may_stand_in_a_custom_field(self) -> None:
        """Where the customer has none; without any it waits."""
        blank = ("<email>ada@example.org</email>", "")
        assert self.faults("transaction_settled.xml", blank) == ["transaction.customer.email"]
        field = ("<product-id>", "<learner_email>bob@example.org</learner_email><product-id>")
        [command] = self.meaning("transaction_settled.xml", blank, field, email_fields="learner-email")
        assert command.learner.email == "bob@example.org"

    def test_a_sale_without_a_product_waits(self) -> None:
        """The custom field is named as it is configured."""
        assert self.faults("transaction_settled.xml", ("<product-id>intro</product-id>", "")) == [
            "custom_fields.product_id"
        ]

    def test_each_charge_is_the_newest_transaction(self) -> None:
        """In whatever order they stand."""
        [command] = self.meaning("subscription_charged.xml", ("2023-12-15", "2025-12-15"))
        assert command.business_key == "tx1"

    async def test_a_sale_lives_until_the_dispute_is_lost(self, tmp_path: Path) -> None:
        """Suspended, resumed, and in the end taken back; sent again, it is the same sale."""
        async with shop(tmp_path, self.adapter(), "intro") as world:
            for name, wanted in (("settled", "live"), ("opened", "suspended"), ("won", "live"), ("lost", "cancelled")):
                kind = "transaction" if name == "settled" else "dispute"
                await world.receive(self.load(f"{kind}_{name}.xml"), self.load("transaction_settled.xml"))
                assert await world.intents() == [wanted]

    async def test_a_dispute_may_come_first(self, tmp_path: Path) -> None:
        """It waits for its sale."""
        async with shop(tmp_path, self.adapter(), "intro") as world:
            await world.receive(self.load("dispute_lost.xml"), self.load("transaction_settled.xml"))
            assert await world.intents() == ["cancelled"]
            assert await world.waiting() == 0

    async def test_a_subscription_ends_with_what_it_charged(self, tmp_path: Path) -> None:
        """Each charge was a registration."""
        async with shop(tmp_path, self.adapter(), "intro-monthly") as world:
            await world.receive(self.load("subscription_charged.xml"), self.load("subscription_canceled.xml"))
            assert await world.intents() == ["cancelled"]
