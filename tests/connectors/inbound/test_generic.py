"""The generic adapter: the suite under each scheme of verification, its settings, and one purchase from end to end."""

from __future__ import annotations

import base64
import hmac
import re
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
from pydantic import ValidationError

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.errors import ConfigError, PayloadInvalid
from bridge.contract.inbound import InboundEvent, Unreadable
from bridge.kit.clock import milliseconds
from bridge.ledger.store import Ledger
from bridge.registry import Registry
from config.load import load
from connectors.inbound.generic import ADAPTER
from tests.ledger.blank import blank_at
from tests.ledger.rig import SHOP, World
from tests.suites.inbound import GARBAGE, RECEIVED, InboundSuite, refused, request

SECRET = "s3cr3t-of-the-shop"
FIELDS: dict[str, Any] = {
    "action": "event",
    "event_key": "id",
    "business_key": "order.number",
    "occurred_at": "at",
    "livemode": "mode",
    "learner": {"email": "customer.email", "name": "customer.name"},
    "items": {
        "each": "order.lines",
        "remote_product_id": "product",
        "line": "id",
        "amount_paid": {"from": "cents", "minor_units": True},
    },
    "order": {
        "number": "order.number",
        "transaction_id": "order.charge",
        "total": {"from": "order.total", "minor_units": True},
        "currency": "order.currency",
    },
}
ACTIONS = {
    "order.paid": "enroll",
    "order.refunded": {"action": "refund", "fields": {"refund": {"full": {"default": False}}}},
    "newsletter.sent": "ignore",
}
PAID = EnrollmentCommand(
    action=Action.ENROLL,
    event_key="evt_5512",
    business_key="A-77",
    occurred_at=datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
    learner=Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace"),
    items=(
        Item(remote_product_id="INTRO", amount_paid=Decimal("99.00"), currency="USD", line="1"),
        Item(remote_product_id="ETHICS", amount_paid=Decimal("49.50"), currency="USD", line="2"),
    ),
    order=Order(number="A-77", transaction_id="ch_9", total=Decimal("148.50"), currency="USD"),
)
REFUNDED = EnrollmentCommand(
    action=Action.REFUND,
    event_key="evt_5513",
    business_key="A-77",
    occurred_at=datetime.fromtimestamp(1_795_428_600, UTC),
    items=(Item(remote_product_id="ETHICS", line="2"),),
    order=Order(number="A-77"),
    refund=Refund(full=False),
)


def signed(body: bytes, stamp: str = "", secret: str = SECRET, algorithm: str = "sha256") -> str:
    message = f"{stamp}.".encode() + body if stamp else body
    return hmac.new(secret.encode(), message, algorithm).hexdigest()


class Generic(InboundSuite):
    """What every scheme shares: the same sender, the same meaning."""

    type = "generic"
    verify: ClassVar[dict[str, Any]]
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "order.paid.json": [PAID],
        "order.refunded.form.txt": [REFUNDED],
        "newsletter.sent.json": [],
    }

    def __init_subclass__(cls) -> None:
        cls.source = {"verify": getattr(cls, "verify", {}), "fields": FIELDS, "actions": ACTIONS}

    def secrets(self) -> list[str]:
        return [SECRET]

    def test_every_setting_that_is_secret_says_so(self) -> None:
        """Those of the nested table too."""
        given = self.adapter().Settings.model_validate({"adapter": self.type, **self.source})
        assert SECRET not in repr(given)

    @pytest.mark.parametrize("empty", ["", [], [""], None])
    def test_an_empty_secret_is_a_fault_of_the_settings(self, empty: Any) -> None:
        """It would let in whoever shows none."""
        name = "password" if "password" in self.verify else "secret"
        with pytest.raises(ValidationError, match=name):
            self.adapter(verify={**self.verify, name: empty})

    def test_several_secrets_are_taken_while_they_rotate(self) -> None:
        """The old one and the new one."""
        name = "password" if "password" in self.verify else "secret"
        event = self.load("order.paid.json")
        for secrets, wanted in {(SECRET, "new"): False, ("new", SECRET): False, ("new", "newer"): True}.items():
            assert refused(self.adapter(verify={**self.verify, name: list(secrets)}), event) is wanted


class TestHmac(Generic):
    """A signature with a time, as ``t=...,v1=...`` in one header."""

    verify: ClassVar[dict[str, Any]] = {
        "scheme": "hmac",
        "header": "X-Signature",
        "secret": SECRET,
        "separator": ",",
        "prefix": "v1=",
        "timestamp_prefix": "t=",
        "signed": "timestamp.body",
    }
    stamp = str(int(RECEIVED.timestamp()))

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return self.sent(payload)

    def sent(self, body: bytes, stamp: str = "", signature: str = "") -> InboundEvent:
        stamp = stamp or self.stamp
        shown = f"t={stamp}, v0=00,v1={signature or signed(body, stamp)},v1=old"
        return request(body, headers={"x-signature": shown, "content-type": "application/json"})

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = signed(event.body, self.stamp)
        late = str(int((RECEIVED - timedelta(seconds=301)).timestamp()))
        early = str(int((RECEIVED + timedelta(seconds=301)).timestamp()))

        def shown(text: str) -> InboundEvent:
            return replace(event, headers={"x-signature": text})

        return {
            "missing": replace(event, headers={}),
            "empty": shown(""),
            "without its time": shown(f"v1={good}"),
            "without a signature": shown(f"t={self.stamp}"),
            "an empty signature": shown(f"t={self.stamp},v1="),
            "under another version": shown(f"t={self.stamp},v0={good}"),
            "in another encoding": shown(f"t={self.stamp},v1={base64.b64encode(bytes.fromhex(good)).decode()}"),
            "cut off": shown(f"t={self.stamp},v1={good[:-1]}"),
            "of another secret": self.sent(event.body, signature=signed(event.body, self.stamp, "another")),
            "too old": self.sent(event.body, late),
            "too new": self.sent(event.body, early),
            "no time": self.sent(event.body, "soon"),
            "of the body alone": self.sent(event.body, signature=signed(event.body)),
            "of another body": replace(event, body=event.body + b" "),
            "of no body": self.sent(b""),
        }

    @given(data=st.data())
    @GARBAGE
    def test_any_changed_byte_of_body_time_or_signature_is_refused(self, data: st.DataObject) -> None:
        """Whatever an attacker turns, the signature no longer fits."""
        body = data.draw(st.binary(min_size=1, max_size=60).filter(bytes.strip))
        parts = [body, self.stamp.encode(), signed(body, self.stamp).encode()]
        adapter = self.adapter()

        def event() -> InboundEvent:
            shown = f"t={parts[1].decode('latin-1')},v1={parts[2].decode('latin-1')}"
            return request(parts[0], headers={"x-signature": shown})

        assert not refused(adapter, event())
        which = data.draw(st.integers(0, 2))
        place = data.draw(st.integers(0, len(parts[which]) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != parts[which][place]))
        parts[which] = parts[which][:place] + bytes([byte]) + parts[which][place + 1 :]
        assert refused(adapter, event())

    def test_the_time_may_be_off_either_way_but_not_further(self) -> None:
        """Tolerance is the source's own."""
        for seconds, wanted in {300: False, -300: False, 301: True, -301: True}.items():
            stamp = str(int(RECEIVED.timestamp()) + seconds)
            assert refused(self.adapter(), self.sent(b"{}", stamp)) is wanted
        wide = self.adapter(verify={**self.verify, "tolerance": "1h"})
        assert not refused(wide, self.sent(b"{}", str(int(RECEIVED.timestamp()) - 3_600)))

    @pytest.mark.parametrize(
        ("changes", "headers"),
        [
            ({}, {"x-signature": "HEX"}),
            ({"prefix": "sha256="}, {"x-signature": "sha256=HEX"}),
            ({"encoding": "base64"}, {"x-signature": "BASE64"}),
            ({"signed": "{body}"}, {"x-signature": "HEX"}),
            ({"signed": "timestamp.body", "timestamp_header": "X-Time"}, {"x-signature": "TIMED", "x-time": "STAMP"}),
            ({"signed": "{url}{body}", "url": "https://b.example/in/x"}, {"x-signature": "URL"}),
            ({"signed": "{header:X-Id}.{body}"}, {"x-signature": "ID", "x-id": "m-1"}),
            ({"secret": SECRET.encode().hex(), "secret_encoding": "hex"}, {"x-signature": "HEX"}),
            (
                {"secret": base64.b64encode(SECRET.encode()).decode(), "secret_encoding": "base64"},
                {"x-signature": "HEX"},
            ),
            ({"algorithm": "sha1"}, {"x-signature": "SHA1"}),
            ({"algorithm": "sha512"}, {"x-signature": "SHA512"}),
        ],
    )
    def test_signs_as_the_senders_do(self, changes: dict[str, Any], headers: dict[str, str]) -> None:
        """Prefix, encoding, what is signed, how the secret is written."""
        body = b'{"event": "newsletter.sent"}'
        values = {
            "HEX": signed(body),
            "BASE64": base64.b64encode(bytes.fromhex(signed(body))).decode(),
            "TIMED": signed(body, self.stamp),
            "STAMP": self.stamp,
            "URL": signed(b"https://b.example/in/x" + body),
            "ID": signed(b"m-1." + body),
            "SHA1": signed(body, algorithm="sha1"),
            "SHA512": signed(body, algorithm="sha512"),
        }
        word = re.compile("|".join(sorted(values, key=len, reverse=True)))
        shown = {name: word.sub(lambda match: values[match[0]], text) for name, text in headers.items()}
        adapter = self.adapter(verify={"scheme": "hmac", "header": "X-Signature", "secret": SECRET, **changes})
        assert not refused(adapter, request(body, headers=shown))
        assert refused(adapter, request(body + b"x", headers=shown))
        for name in shown:
            assert refused(adapter, request(body, headers={**shown, name: ""}))

    def test_the_vectors_of_known_senders_fit(self) -> None:
        """Shopify's and Razorpay's, as computed for the facts."""
        body = b'{"order":{"id":1,"email":"jane@example.com"}}'
        shopify = {"scheme": "hmac", "header": "X-Shopify-Hmac-Sha256", "secret": "hush", "encoding": "base64"}
        razorpay = {"scheme": "hmac", "header": "X-Razorpay-Signature", "secret": "rzp-secret"}
        for verify, shown in (
            (shopify, "vyE6m8bzoFBOE8OHkVhNC/nnwTkx1M4aJgByh7t3ykM="),
            (razorpay, "bedfb6e6ac9c0d342881b2bb55519d989d11e1d35f9a8546c2be66e5c86edb7d"),
        ):
            event = request(body, headers={str(verify["header"]).lower(): shown})
            assert not refused(self.adapter(verify=verify), event)
            assert refused(self.adapter(verify=verify), replace(event, body=body + b" "))

    @pytest.mark.parametrize("body", [b"", b" ", b"\n"])
    def test_a_signature_of_nothing_proves_nothing(self, body: bytes) -> None:
        """What the address says is not covered by it, so an event without a body is refused."""
        adapter = self.adapter(verify={"scheme": "hmac", "header": "X-Signature", "secret": SECRET})
        assert refused(adapter, request(body, query={"event": "order.paid"}, headers={"x-signature": signed(body)}))


class Scheme(Generic):
    """Another scheme: what is done with garbage is the same under all of them, and proved once above."""

    test_endures_hostile_values_in_every_field = None
    test_endures_any_json = None
    test_endures_any_query_and_form = None


class TestToken(Scheme):
    """A bearer token in a header."""

    verify: ClassVar[dict[str, Any]] = {
        "scheme": "token",
        "header": "Authorization",
        "prefix": "Bearer ",
        "secret": SECRET,
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return request(payload, headers={"authorization": f"Bearer {SECRET}"})

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        wrong = (
            "",
            "Bearer ",
            SECRET,
            f"bearer {SECRET}",
            f"Bearer {SECRET}x",
            f"Bearer {SECRET[:-1]}",
            "Bearer \ud800",
        )
        return {
            "missing": replace(event, headers={}),
            "in the address": replace(event, headers={}, query={"authorization": f"Bearer {SECRET}"}),
            **{repr(text): replace(event, headers={"authorization": text}) for text in wrong},
        }


class TestField(Scheme):
    """A token in a field of the body."""

    verify: ClassVar[dict[str, Any]] = {"scheme": "token", "field": "token", "secret": SECRET}

    def event(self, name: str, payload: bytes) -> InboundEvent:
        if name.endswith(".txt"):
            return request(payload + f"&token={SECRET}".encode())
        return request(orjson.dumps({**orjson.loads(payload), "token": SECRET}))

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = {"event": "order.paid", "token": SECRET}
        bodies = {
            "missing": {"event": "order.paid"},
            "wrong": {**good, "token": SECRET + "x"},
            "empty": {**good, "token": ""},
            "no text": {**good, "token": [SECRET]},
            "deeper": {"order": good},
            "one of many": [good],
        }
        return {
            **{how: request(orjson.dumps(body)) for how, body in bodies.items()},
            "unreadable": request(b'{"token": "' + SECRET.encode()),
        }

    def test_an_event_without_a_body_shows_it_in_the_address(self) -> None:
        """A sender that only knows GET."""
        query = {"token": SECRET, "event": "newsletter.sent"}
        assert not refused(self.adapter(), request(method="GET", query=query))
        assert self.adapter().normalise(request(method="GET", query=query)) == []


class TestBasic(Scheme):
    """HTTP basic authentication."""

    verify: ClassVar[dict[str, Any]] = {"scheme": "basic", "username": "shop", "password": SECRET}

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return request(payload, headers={"authorization": self.shown("Basic", f"shop:{SECRET}")})

    @staticmethod
    def shown(scheme: str, pair: str) -> str:
        return f"{scheme} {base64.b64encode(pair.encode()).decode()}"

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        wrong = [
            "",
            "Basic",
            f"Basic shop:{SECRET}",
            self.shown("Bearer", f"shop:{SECRET}"),
            self.shown("Basic", f"shopper:{SECRET}"),
            self.shown("Basic", f"shop:{SECRET}x"),
            self.shown("Basic", "shop:"),
            self.shown("Basic", SECRET),
            "Basic \ud800",
        ]
        return {
            "missing": replace(event, headers={}),
            **{repr(text): replace(event, headers={"authorization": text}) for text in wrong},
        }

    def test_the_vector_of_chargebee_fits(self) -> None:
        """And the scheme's name in any case, as RFC 7617 has it."""
        verify = {"scheme": "basic", "username": "webhook_user", "password": "secret_pass"}
        for text in ("Basic d2ViaG9va191c2VyOnNlY3JldF9wYXNz", "basic d2ViaG9va191c2VyOnNlY3JldF9wYXNz"):
            assert not refused(self.adapter(verify=verify), request(headers={"authorization": text}))


class TestQuery(Scheme):
    """A secret in the address."""

    verify: ClassVar[dict[str, Any]] = {"scheme": "query", "secret": SECRET}

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return request(payload, query={"secret": SECRET})

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        wrong = ("", SECRET + " ", SECRET.upper(), "\ud800")
        return {
            "missing": replace(event, query={}),
            "in a header": replace(event, query={}, headers={"secret": SECRET}),
            "in the body": request(orjson.dumps({"secret": SECRET})),
            **{repr(text): replace(event, query={"secret": text}) for text in wrong},
        }

    def test_a_sender_that_only_knows_addresses(self) -> None:
        """Everything stands in the query."""
        query = {"secret": SECRET, "email": "ada@example.org", "sku": "INTRO", "order[number]": "A-1"}
        fields = {
            "action": {"default": "enroll"},
            "business_key": "order.number",
            "learner": {"email": "email"},
            "items": {"remote_product_id": "sku"},
        }
        for changes in ({}, {"format": "query"}):
            adapter = self.adapter(fields=fields, actions={}, **changes)
            assert adapter.normalise(request(method="GET", query=query)) == [
                EnrollmentCommand(
                    action=Action.ENROLL,
                    business_key="A-1",
                    occurred_at=RECEIVED,
                    learner=Learner(email="ada@example.org"),
                    items=(Item(remote_product_id="INTRO"),),
                )
            ]

    def test_a_header_that_an_expression_reads_is_kept(self) -> None:
        """So that a replay means the same; no other header is stored."""
        adapter = self.adapter(fields={**FIELDS, "action": "header('X-Topic') || event"})
        assert adapter.kept_headers == {"x-topic"}
        assert adapter.credential_fields == {"secret"}
        assert self.adapter().kept_headers == frozenset()
        body = (b'{"order": {"number": "A-77"}}', {"x-topic": "order.refunded"})
        (command,) = adapter.normalise(request(body[0], headers=body[1]))
        assert isinstance(command, EnrollmentCommand)
        assert command.action is Action.REFUND

    def test_one_bad_row_does_not_sink_the_others(self) -> None:
        """It waits in quarantine by its place."""
        good = orjson.loads(self.load("order.paid.json").body)
        bad = {**good, "customer": {"email": "~Contact.Email~"}}
        adapter = self.adapter(each="@")
        found = adapter.normalise(request(orjson.dumps([good, bad, good])))
        assert found[0] == found[2] == PAID
        assert isinstance(found[1], Unreadable)
        assert found[1].row == "1"
        assert list(found[1].faults) == ["learner.email"]

    def test_a_multipart_form_is_told_as_such(self) -> None:
        """It is not taken for a form with strange names."""
        with pytest.raises(PayloadInvalid, match="multipart"):
            self.adapter().normalise(request(b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--'))


SOURCE = """[sources.shop]
adapter = "generic"
verify = { scheme = "token", header = "X-Token", secret = "${SECRET}" }
[sources.shop.fields]
action = { default = "enroll" }
learner = { email = "email" }
items = { remote_product_id = "sku" }
"""
GENERAL = "a path is the names of fields with points between them, such as customer.email"
FAULTS = [
    (('verify = { scheme = "token", header = "X-Token", secret = "${SECRET}" }\n', ""), "1: sources.shop.verify: missing; it is required"),
    (('"token", header', '"tokn", header'), "3: sources.shop.verify.scheme: expected 'hmac', 'token', 'basic', 'query' as 'scheme'"),
    (('scheme = "token", ', ""), "3: sources.shop.verify: expected the key 'scheme'"),
    (('header = "X-Token"', 'haeder = "X-Token"'), "3: sources.shop.verify.haeder: unknown key; did you mean 'header'?"),
    (('header = "X-Token", ', ""), "3: sources.shop.verify: expected header or field: where the token stands"),
    (('"X-Token"', '"X Token"'), '3: sources.shop.verify.header: expected the name of a header, such as "X-Signature"'),
    ((', secret = "${SECRET}"', ""), "3: sources.shop.verify.secret: missing; it is required"),
    (('"${SECRET}"', '["${SECRET}", ""]'), "3: sources.shop.verify.secret[1]: expected text of at least 1 character"),
    (('email = "email"', 'email = "customer."'), f"6: sources.shop.fields.learner.email: expected a JMESPath expression, but it ends too early, after 'customer.'; {GENERAL}"),
    (('email = "email"', 'emial = "email"'), "6: sources.shop.fields.learner.emial: unknown key; did you mean 'email'?"),
    (('email = "email"', "email = 5"), '6: sources.shop.fields.learner.email: expected an expression as text, or a table such as { from = "status", default = "paid" }'),
    (('email = "email"', 'email = { form = "email" }'), "6: sources.shop.fields.learner.email.form: unknown key; did you mean 'from'?"),
    (('email = "email"', 'email = { from = "a = b" }'), "6: sources.shop.fields.learner.email.from: expected a JMESPath expression, but '=' can't stand there, at character 3; two values are compared with =="),
    (("items = {", "items = { amount_paid = { from = 'a', minor_units = 'x' },"), "7: sources.shop.fields.items.amount_paid.minor_units: expected true or false, got text"),
    (("items = { remote_product_id", "items = { line"), "4: sources.shop.fields: items.remote_product_id is missing; enroll needs it"),
    (('"enroll"', '"enrol"'), "4: sources.shop.fields: action is always 'enrol'; expected one of enroll, cancel, refund, suspend, resume, update, progress, ignore"),
    (("[sources.shop.fields]\n", "actions = { 'order.paid' = 'enrol' }\n[sources.shop.fields]\n"), "4: sources.shop.actions.\"order.paid\": expected 'enroll', 'cancel', 'refund', 'suspend', 'resume', 'update', 'progress' or 'ignore'"),
    (("[sources.shop.fields]\n", "when = [{ field = 'a[', operator = 'in', value = 1 }]\n[sources.shop.fields]\n"), f"4: sources.shop.when[0].field: expected a JMESPath expression, but it ends too early, after 'a['; {GENERAL}"),
    (("[sources.shop.fields]\n", "each = 'lenght(a)'\n[sources.shop.fields]\n"), "4: sources.shop.each: there is no function lenght(), at character 1; did you mean length()?"),
    (("[sources.shop.fields]\n", "timezone = 'CEST'\n[sources.shop.fields]\n"), '4: sources.shop.timezone: expected the name of a time zone, such as "Europe/Berlin"'),
    (('email = "email"', "email = \"header('x-token')\""), "1: sources.shop: fields.learner.email: a header with credentials is not kept, and can't be read"),
    (('header = "X-Token"', 'field = "sku"'), "1: sources.shop: fields.items.remote_product_id: 'sku' is blanked before the event is kept, and can't be read"),
]  # fmt: skip
HMAC = 'scheme = "hmac", header = "X-S"'
HMAC_FAULTS = [
    (', signed = "{timestamp}"', "signed: expected {body} once: a signature that does not cover the body proves nothing"),
    (', signed = "bdy"', "signed: expected {body} once: a signature that does not cover the body proves nothing"),
    (', signed = "{bdy}.{body}"', 'signed: expected "body", "timestamp.body" or a template of {body}, {timestamp}, {url}, {header:X-Id}'),
    (', signed = "{body"', 'signed: expected "body", "timestamp.body" or a template of {body}, {timestamp}, {url}, {header:X-Id}'),
    (', signed = "timestamp.body"', ": expected timestamp_header or timestamp_prefix: signed has a {timestamp}"),
    (', timestamp_header = "X-T"', ": expected {timestamp} in signed: a time that is not signed proves nothing"),
    (', signed = "{url}{body}"', ": expected url together with {url} in signed"),
    (', url = "https://x"', ": expected url together with {url} in signed"),
    (', secret_encoding = "hex"', ": expected a secret in hex, as secret_encoding says"),
    (', secret_encoding = "base64"', ": expected a secret in base64, as secret_encoding says"),
    (', tolerance = "0s"', "tolerance: expected more than 0 seconds"),
    (', algorithm = "md5"', "algorithm: expected 'sha1', 'sha256' or 'sha512'"),
]  # fmt: skip


def refusal(folder: Path, text: str) -> list[str]:
    """Return the lines that ``bridge check`` would show."""
    path = folder / "bridge.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, Registry(), {"SECRET": SECRET})
    assert SECRET not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(("change", "expected"), FAULTS)
def test_a_fault_of_the_settings_names_its_key_and_what_to_do(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    """One fault, one line, nothing else."""
    assert change[0] in SOURCE
    assert refusal(tmp_path, SOURCE.replace(*change)) == [f"bridge.toml:{expected}"]


@pytest.mark.parametrize(("more", "expected"), HMAC_FAULTS)
def test_a_signature_that_could_not_hold_is_a_fault_of_the_settings(tmp_path: Path, more: str, expected: str) -> None:
    """Fail closed: rather no start than a source that takes anything."""
    text = SOURCE.replace('scheme = "token", header = "X-Token"', HMAC + more)
    place = "sources.shop.verify" if expected[0] == ":" else "sources.shop.verify."
    assert refusal(tmp_path, text) == [f"bridge.toml:3: {place}{expected}"]


def test_a_signature_covers_no_address(tmp_path: Path) -> None:
    """So a source that reads the address only can't have one."""
    text = SOURCE.replace('scheme = "token", header = "X-Token"', HMAC).replace(
        "[sources.shop.f", 'format = "query"\n[sources.shop.f'
    )
    assert refusal(tmp_path, text) == [
        'bridge.toml:1: sources.shop: expected another format than "query": a signature covers the body only'
    ]


def test_tables_may_be_written_inline_or_each_with_its_header(tmp_path: Path) -> None:
    """The same settings come out."""
    inline = tmp_path / "inline.toml"
    inline.write_text(SOURCE, encoding="utf-8")
    spread = tmp_path / "spread.toml"
    spread.write_text(
        '[sources.shop]\nadapter = "generic"\n'
        '[sources.shop.verify]\nscheme = "token"\nheader = "X-Token"\nsecret = ["${SECRET}"]\n'
        '[sources.shop.fields.action]\ndefault = "enroll"\n'
        '[sources.shop.fields.learner.email]\nfrom = "email"\n'
        '[sources.shop.fields.items]\nremote_product_id = "sku"\n',
        encoding="utf-8",
    )
    found = [load(path, Registry(), {"SECRET": SECRET}).settings.sources["shop"] for path in (inline, spread)]
    assert found[0] == found[1]


def test_expressions_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the settings are read, and never again."""
    settings = ADAPTER.Settings.model_validate(
        {"adapter": "generic", "verify": TestQuery.verify, "fields": FIELDS, "actions": ACTIONS}
    )
    monkeypatch.setattr("bridge.kit.expressions.Parser", None)
    adapter = ADAPTER(settings)
    body = TestQuery().load("order.paid.json").body
    assert adapter.normalise(request(body)) == adapter.normalise(request(body)) == [PAID]


async def test_a_purchase_its_repeat_and_the_refund_of_one_line(tmp_path: Path) -> None:
    """From the sender's bytes to what the LMS is to hold."""
    ledger = Ledger(blank_at(tmp_path / "bridge.db"))
    await ledger.open()
    try:
        world, suite = World(ledger), TestHmac()
        world.now = milliseconds(RECEIVED + timedelta(days=1))
        paid, refunded, of_no_use = (suite.load(name) for name in suite.captured)
        first = await world.intake.receive(SHOP, suite.adapter(), paid)
        again = await world.intake.receive(SHOP, suite.adapter(), paid)
        bought = {line.remote_product_id: line.registration_id for line in first.lines}
        assert {line.remote_product_id: line.registration_id for line in again.lines} == bought
        assert all(line.repeat for line in again.lines)
        assert (await world.intake.receive(SHOP, suite.adapter(), of_no_use)).kind == "ignored"
        await world.deliver("lms")
        assert {name: await world.state(number) for name, number in bought.items()} == {
            "INTRO": "active",
            "ETHICS": "active",
        }
        await world.intake.receive(SHOP, suite.adapter(), refunded)
        assert await world.operations("lms") == ["revoke"]
        assert {name: await world.state(number) for name, number in bought.items()} == {
            "INTRO": "active",
            "ETHICS": "cancelled",
        }
    finally:
        await ledger.close()


RETURNED = """
[sources.shop]
adapter = "generic"
verify = { scheme = "token", header = "X-Token", secret = "s3cr3t-of-the-shop" }
[sources.shop.fields]
action = "event"
event_key = "id"
business_key = "order"
learner.email = "email"
items = { each = "lines", remote_product_id = "sku", quantity = "n", returned = "back" }
[sources.shop.actions]
"paid" = "enroll"
"part" = { action = "refund", fields = { refund = { full = { default = false } } } }
"""


def test_units_that_came_back_are_told_apart_from_a_whole_line(tmp_path: Path) -> None:
    """`items.returned` of a refund takes as many links; a line without it is taken back; none at all is no number of units."""
    path = tmp_path / "bridge.toml"
    path.write_text(RETURNED)
    found = load(path, Registry(), env={})
    adapter = ADAPTER(found.settings.sources["shop"])

    def items(event: str, *lines: dict[str, Any]) -> tuple[Item, ...]:
        body = {"id": event, "event": event, "order": "o1", "email": "ada@example.org", "lines": list(lines)}
        (command,) = adapter.normalise(request(orjson.dumps(body)))
        assert isinstance(command, EnrollmentCommand)
        return command.items

    assert items("paid", {"sku": "INTRO", "n": 3})[0].returned is None
    whole, some = items("part", {"sku": "ETHICS", "n": 1}, {"sku": "INTRO", "n": 3, "back": "2"})
    assert (whole.returned, some.returned) == (None, 2)
    for wrong in (0, -1, "two"):
        with pytest.raises(PayloadInvalid):
            items("part", {"sku": "INTRO", "n": 3, "back": wrong})
