"""Standard Webhooks: the suite, then signatures against the specification's own library."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.inbound import InboundEvent
from bridge.kit.clock import milliseconds
from bridge.kit.public_keys import ed25519_signed
from bridge.ledger.store import Ledger
from tests.ledger.blank import blank_at
from tests.ledger.rig import SHOP, World
from tests.suites.inbound import GARBAGE, PAYLOADS, RECEIVED, InboundSuite, refused, request

RAW = bytes(range(24))
SECRET = "whsec_" + base64.b64encode(RAW).decode()
OTHER = "whsec_" + base64.b64encode(RAW[::-1]).decode()
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
STAMP = str(int(RECEIVED.timestamp()))


def v1(body: bytes, message_id: str = "msg_1", stamp: str = STAMP, raw: bytes = RAW) -> str:
    message = f"{message_id}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(raw, message, "sha256").digest()).decode()


def v1a(body: bytes, message_id: str = "msg_1", stamp: str = STAMP) -> str:
    return "v1a," + base64.b64encode(PRIVATE.sign(f"{message_id}.{stamp}.".encode() + body)).decode()


def sent(body: bytes, signature: str | None = None, message_id: str = "msg_1", stamp: str = STAMP) -> InboundEvent:
    shown = v1(body, message_id, stamp) if signature is None else signature
    return request(body, headers={"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": shown})


class TestStandardWebhooks(InboundSuite):
    """A sender that follows the specification, mapped by expressions."""

    type = "standard_webhooks"
    source: ClassVar[dict[str, Any]] = {
        "signing_secrets": SECRET,
        "actions": {"order.paid": "enroll", "order.refunded": "refund", "ping": "ignore"},
        "fields": {
            "business_key": "data.id",
            "learner": {"email": "data.customer.email", "name": "data.customer.name"},
            "items": {"remote_product_id": "data.product.id"},
            "order": {
                "number": "data.id",
                "currency": "data.currency",
                "total": {"from": "data.amount", "minor_units": True},
            },
        },
    }
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "order.paid.json": [
            EnrollmentCommand(
                action=Action.ENROLL,
                event_key="msg_1",
                business_key="ord_1",
                occurred_at=datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC),
                learner=Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace"),
                items=(Item(remote_product_id="prod_7", currency="USD"),),
                order=Order(number="ord_1", currency="USD", total=Decimal("99.00")),
            )
        ],
        "order.refunded.json": [
            EnrollmentCommand(
                action=Action.REFUND,
                event_key="msg_1",
                business_key="ord_1",
                occurred_at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
                order=Order(number="ord_1"),
                refund=Refund(),
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return sent(payload)

    def places(self) -> list[InboundEvent]:
        event = self.load("order.paid.json")
        old = {name.replace("webhook-", "svix-"): text for name, text in event.headers.items()}
        return [event, replace(event, headers=old)]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        family = next(iter(event.headers)).partition("-")[0]

        def changed(**headers: str | None) -> InboundEvent:
            named = {f"{family}-{name}": text for name, text in headers.items()}
            return replace(
                event, headers={name: text for name, text in (event.headers | named).items() if text is not None}
            )

        good = v1(event.body)
        late = str(int((RECEIVED - timedelta(seconds=301)).timestamp()))
        early = str(int((RECEIVED + timedelta(seconds=301)).timestamp()))
        times = {
            repr(text): changed(timestamp=text) for text in ("", "soon", f"{STAMP}.5", f" {STAMP}", "-1", "9" * 12)
        }
        signatures = ("", good[3:], f"v1={good[3:]}", good.replace("v1,", "v2,"), good[:-1], f"{good},x", "v1,", "v1")
        return {
            "without an id": changed(id=None),
            "without a time": changed(timestamp=None),
            "without a signature": changed(signature=None),
            "of another id": changed(id="msg_2"),
            "too old": changed(timestamp=late, signature=v1(event.body, stamp=late)),
            "too new": changed(timestamp=early, signature=v1(event.body, stamp=early)),
            "of another secret": changed(signature=v1(event.body, raw=RAW[::-1])),
            "of the secret's text": changed(signature=v1(event.body, raw=SECRET.encode())),
            "by a key that the source does not have": changed(signature=v1a(event.body)),
            "of another body": replace(event, body=event.body + b" "),
            "in hex": changed(signature="v1," + base64.b64decode(good[3:]).hex()),
            **times,
            **{repr(text): changed(signature=text) for text in signatures},
        }

    def test_the_official_vector_fits(self) -> None:
        """As the specification's own library computes it."""
        vector = orjson.loads((PAYLOADS / self.type / "official.vector.json").read_bytes())
        event = InboundEvent(
            "POST",
            "/in/x",
            vector["headers"],
            {},
            base64.b64decode(vector["body_b64"]),
            datetime.fromtimestamp(vector["now"], UTC),
        )
        adapter = self.adapter(signing_secrets=vector["secret"])
        assert not refused(adapter, event)
        assert refused(adapter, replace(event, body=event.body.replace(b"2432232314", b"2432232315")))

    def test_one_signature_that_fits_is_enough(self) -> None:
        """While secrets rotate a sender signs with both, and versions to come may stand beside."""
        body = b"{}"
        both = f"v3,abc {v1(body, raw=RAW[::-1])} nonsense {v1(body)}"
        assert not refused(self.adapter(), sent(body, both))
        assert not refused(self.adapter(signing_secrets=[OTHER, SECRET]), sent(body))
        assert refused(self.adapter(signing_secrets=OTHER), sent(body))

    def test_a_public_key_proves_too(self) -> None:
        """Version v1a: ed25519, and the secret stays at the sender."""
        body = b"{}"
        for secrets, signature, wanted in (
            (PUBLIC, v1a(body), False),
            ([SECRET, PUBLIC], v1a(body), False),
            ([SECRET, PUBLIC], v1(body), False),
            (PUBLIC, v1(body), True),
            (PUBLIC, v1a(body).replace("v1a,", "v1,"), True),
            (PUBLIC, v1a(body + b" "), True),
            (PUBLIC, "v1a,", True),
            (PUBLIC, "v1a,nonsense", True),
        ):
            assert refused(self.adapter(signing_secrets=secrets), sent(body, signature)) is wanted

    @pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_???", "a secret", "whpk_c2hvcnQ=", "ä"])
    def test_a_secret_that_could_never_fit_is_a_fault_of_the_settings(self, text: str) -> None:
        """Rather than a source that refuses everything."""
        with pytest.raises(ValidationError, match="signing_secrets"):
            self.adapter(signing_secrets=[SECRET, text])

    def test_a_private_key_does_not_belong_here(self) -> None:
        """Whoever has it can sign."""
        with pytest.raises(ValidationError, match="a private key stays at the sender") as wrong:
            self.adapter(signing_secrets="whsk_" + "A" * 44)
        assert "signing_secrets.0" in str(wrong.value)

    @pytest.mark.parametrize("spelling", [SECRET, SECRET.removeprefix("whsec_"), SECRET.rstrip("="), SECRET + "=="])
    def test_secrets_are_taken_as_the_library_takes_them(self, spelling: str) -> None:
        """With or without prefix and padding."""
        assert not refused(self.adapter(signing_secrets=spelling), sent(b"{}"))
        assert Webhook(spelling).sign("msg_1", datetime.fromtimestamp(int(STAMP), UTC), "{}") == v1(b"{}")

    def test_ids_and_times_are_the_senders_unless_the_settings_say_otherwise(self) -> None:
        """The id of the message is the same over all retries; the time in the header is not that of the event."""
        body = orjson.dumps({"type": "order.paid", "data": orjson.loads(self.load("order.paid.json").body)["data"]})
        (command,) = self.adapter().normalise(sent(body, message_id="msg_9"))
        assert isinstance(command, EnrollmentCommand)
        assert (command.event_key, command.occurred_at) == ("msg_9", RECEIVED)
        fields = {**self.source["fields"], "event_key": "data.id", "action": "header('x-topic') || type"}
        adapter = self.adapter(fields=fields)
        (other,) = adapter.normalise(sent(body))
        assert isinstance(other, EnrollmentCommand)
        assert other.event_key == "ord_1"
        assert adapter.kept_headers == {"webhook-id", "svix-id", "x-topic"}

    @given(data=st.data())
    @GARBAGE
    def test_any_changed_byte_of_body_id_time_or_signature_is_refused(self, data: st.DataObject) -> None:
        """Under a secret, and under a public key."""
        body = data.draw(st.binary(max_size=60))
        secret, sign = data.draw(st.sampled_from([(SECRET, v1), (PUBLIC, v1a)]))
        adapter = self.adapter(signing_secrets=secret)
        parts = [body, b"msg_1", STAMP.encode(), sign(body).encode()]
        assert not refused(adapter, sent(*_texts(parts)))
        which = data.draw(st.sampled_from([place for place, part in enumerate(parts) if part]))
        at = data.draw(st.integers(0, len(parts[which]) - 1))
        byte = data.draw(st.integers(0, 127).filter(lambda byte: byte != parts[which][at]))
        parts[which] = parts[which][:at] + bytes([byte]) + parts[which][at + 1 :]
        assert refused(adapter, sent(*_texts(parts)))

    @given(body=st.text(st.characters(codec="utf-8"), max_size=40), data=st.data())
    @GARBAGE
    def test_the_library_and_the_adapter_agree(self, body: str, data: st.DataObject) -> None:
        """Both ways: what the library signs we take, what is signed as here it takes, and both refuse what does not fit."""
        now = datetime.now(UTC)
        seconds = data.draw(st.sampled_from([0, -200, 200, -400, 400]))
        moment = now + timedelta(seconds=seconds)
        stamp = str(int(moment.timestamp()))
        library = Webhook(SECRET)
        good = library.sign("msg_1", datetime.fromtimestamp(int(stamp), UTC), body)
        assert good == v1(body.encode(), stamp=stamp)
        shown = data.draw(st.sampled_from([good, f"v0,x {good}", f"{v1(b'other', stamp=stamp)} {good}", "v1,AAAA", ""]))
        event = replace(sent(body.encode(), shown, stamp=stamp), received_at=now)
        try:
            library.verify(body, dict(event.headers), json_parse=False)
            taken = True
        except WebhookVerificationError:
            taken = False
        assert refused(self.adapter(), event) is not taken
        assert taken is (good in shown and abs(seconds) < 300)

    def test_a_signature_has_one_spelling(self) -> None:
        """Base64 that decodes alike is not the same signature."""
        good = v1a(b"{}").removeprefix("v1a,")
        message = f"msg_1.{STAMP}.{{}}".encode()
        keys = [PRIVATE.public_key()]
        assert ed25519_signed(keys, message, [good])
        for other in (good[:-3] + chr(ord(good[-3]) + 1) + "==", good + "=", good[:-2], f"{good[:4]}\n{good[4:]}"):
            assert not ed25519_signed(keys, message, [other])


def _texts(parts: list[bytes]) -> Iterator[Any]:
    body, message_id, stamp, signature = parts
    yield body
    yield from (part.decode("latin-1") for part in (signature, message_id, stamp))


async def test_a_purchase_its_retry_and_its_refund(tmp_path: Path) -> None:
    """From the signed bytes to what the LMS is to hold."""
    ledger = Ledger(blank_at(tmp_path / "bridge.db"))
    await ledger.open()
    try:
        world = World(ledger)
        world.now = milliseconds(RECEIVED + timedelta(days=1))
        adapter = TestStandardWebhooks().adapter()
        paid = (PAYLOADS / "standard_webhooks" / "order.paid.json").read_bytes().replace(b"prod_7", b"INTRO")
        refunded = (PAYLOADS / "standard_webhooks" / "order.refunded.json").read_bytes()
        first = await world.intake.receive(SHOP, adapter, sent(paid))
        retry = await world.intake.receive(SHOP, adapter, sent(paid, stamp=str(int(STAMP) + 5)))
        (number,) = (line.registration_id for line in first.lines)
        assert [line.registration_id for line in retry.lines] == [number]
        assert await world.operations("lms") == ["grant"]
        await world.intake.receive(SHOP, adapter, sent(refunded, message_id="msg_2"))
        assert await world.operations("lms") == ["revoke"]
        assert await world.state(number) == "cancelled"
    finally:
        await ledger.close()
