"""Whether PayPal sent it: the signature, the certificate behind it, PayPal's own word, and an IPN posted back."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contract.errors import SignatureInvalid, TransportFault, Unreachable
from bridge.contract.inbound import InboundEvent, Verifies
from connectors.inbound.paypal import Paypal
from connectors.inbound.paypal.proof import _system_roots
from connectors.inbound.paypal.settings import PaypalSettings
from tests.connectors.inbound.paypal_rig import (
    CLIENT_ID,
    CLIENT_SECRET,
    END,
    NAME,
    START,
    WEBHOOK_ID,
    Vendor,
    certificate,
    days,
    issuer,
    leaf,
    pem,
    root,
    signed,
    webhook,
)
from tests.suites.inbound import PAYLOADS, RECEIVED, request

BODY = webhook("PAYMENT.CAPTURE.COMPLETED", {"id": "C1", "status": "COMPLETED"})
IPN = (PAYLOADS / "paypal" / "ipn_button.form.txt").read_bytes()
AWAY: Any = None
"""For what must not need the network any more."""


def adapter_for(vendor: Vendor, **changes: Any) -> Paypal:
    """An adapter that trusts the tests' root and takes certificates from the stand-in."""
    given = {
        "adapter": "paypal",
        "webhook_id": WEBHOOK_ID,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "receiver_email": "seller@example.org",
        "trust_root": pem(root()).decode(),
        "cert_hosts": (vendor.host,),
        **changes,
    }
    return Paypal(PaypalSettings.model_validate(given))


def event_from(vendor: Vendor, body: bytes = BODY, name: str = "CERT-1", **how: Any) -> InboundEvent:
    return request(body, headers=signed(body, vendor.cert_url(name), **how))


async def refused(adapter: Paypal, event: InboundEvent, http: Any) -> bool:
    """Say whether the whole verification finds the event unproven."""
    try:
        adapter.verify(event)
        await adapter.verify_afar(event, http)
    except SignatureInvalid:
        return True
    return False


# The certificate


async def test_a_signed_webhook_is_proven_with_one_fetch() -> None:
    """The certificate is kept: the next events need no network."""
    vendor = Vendor()
    async with vendor.serving() as http:
        adapter = adapter_for(vendor)
        assert isinstance(adapter, Verifies)
        event = event_from(vendor)
        assert not await refused(adapter, event, http)
    assert not await refused(adapter, event, AWAY)
    assert not await refused(adapter, event_from(vendor, b"{}"), AWAY)
    assert vendor.asked("/") == ["/v1/notifications/certs/CERT-1"]


async def test_a_burst_of_events_fetches_once() -> None:
    """They come together when a sale begins."""
    vendor = Vendor()
    async with vendor.serving() as http:
        adapter = adapter_for(vendor)
        found = await asyncio.gather(*(refused(adapter, event_from(vendor), http) for _ in range(20)))
    assert found == [False] * 20
    assert len(vendor.journal) == 1


async def test_several_webhook_ids_are_taken_while_one_replaces_the_other() -> None:
    """Live events of the older one are still on their way."""
    vendor = Vendor()
    async with vendor.serving() as http:
        adapter = adapter_for(vendor, webhook_id=["5GP028458E2496506", WEBHOOK_ID])
        for webhook_id, wanted in ((WEBHOOK_ID, False), ("5GP028458E2496506", False), ("WEBHOOK_ID", True)):
            assert await refused(adapter, event_from(vendor, webhook_id=webhook_id), http) is wanted


async def test_both_of_paypals_algorithms_are_known() -> None:
    """The header says which."""
    vendor = Vendor()
    async with vendor.serving() as http:
        adapter = adapter_for(vendor)
        event = event_from(vendor, **{"paypal-auth-algo": "SHA1withRSA"})
        assert not await refused(adapter, event, http)
        told_wrong = replace(event, headers={**event.headers, "paypal-auth-algo": "SHA256withRSA"})
        assert await refused(adapter, told_wrong, http)


async def test_the_text_that_is_signed_is_that_of_paypals_sdk() -> None:
    """As computed after it, with the CRC32 of the raw body as a decimal without sign."""
    vector = orjson.loads((PAYLOADS / "paypal" / "signed_message.vector.json").read_bytes())
    body = base64.b64decode(vector["body_b64"])
    vendor = Vendor()
    async with vendor.serving() as http:
        headers = {name.lower(): text for name, text in vector["headers"].items()}
        event = event_from(vendor, body, webhook_id=vector["webhook_id"], **headers)
        assert "|".join([*headers.values(), vector["webhook_id"], str(vector["crc32_decimal"])]) == vector["message"]
        assert not await refused(adapter_for(vendor, webhook_id=vector["webhook_id"]), event, http)


@pytest.mark.parametrize(
    ("why", "signer", "served"),
    [
        ("its own issuer, under the right name", NAME, lambda: pem(certificate(NAME))),
        ("under another root", NAME, lambda: pem(certificate(NAME, "Evil root"), certificate("Evil root", ca=True))),
        ("without its issuer, whom nobody knows", NAME, lambda: pem(leaf())),
        ("under another name", "evil.example", lambda: pem(leaf("evil.example"), issuer())),
        ("under a name that ends alike", "evilpaypal.com", lambda: pem(leaf("evilpaypal.com"), issuer())),
        (
            "under PayPal's name before another",
            f"{NAME}.evil.example",
            lambda: pem(leaf(f"{NAME}.evil.example"), issuer()),
        ),
        (
            "with PayPal's name only in the subject",
            "evil.example",
            lambda: pem(leaf("evil.example", subject=NAME), issuer()),
        ),
        ("for every host of PayPal's", "*.paypal.com", lambda: pem(leaf("*.paypal.com"), issuer())),
        ("out of date", NAME, lambda: pem(leaf(end=RECEIVED - days(1)), issuer())),
        ("not yet good", NAME, lambda: pem(leaf(start=RECEIVED + days(1)), issuer())),
        (
            "with an issuer that may issue nothing",
            NAME,
            lambda: pem(leaf(), certificate("Issuer of the tests", "Root of the tests")),
        ),
        ("no certificate", NAME, lambda: b"<html>not found</html>"),
        ("nothing", NAME, lambda: b""),
        ("gone", NAME, lambda: 404),
    ],
)
async def test_a_certificate_that_is_not_paypals_proves_nothing(
    why: str, signer: str, served: Callable[[], bytes | int]
) -> None:
    """Although the signature fits it; and it is not kept, so that a good one is taken as soon as it is there."""
    vendor = Vendor()
    vendor.certificates["CERT-1"] = served()
    async with vendor.serving() as http:
        adapter = adapter_for(vendor)
        assert await refused(adapter, event_from(vendor, who=signer), http), why
        vendor.certificates["CERT-1"] = pem(leaf(), issuer())
        assert not await refused(adapter, event_from(vendor), http)


async def test_another_good_certificate_of_paypals_is_not_the_one_that_signed() -> None:
    """The key decides."""
    vendor = Vendor()
    vendor.certificates["CERT-1"] = pem(leaf("other.paypal.com"), issuer())
    async with vendor.serving() as http:
        assert await refused(adapter_for(vendor), event_from(vendor), http)
        assert not await refused(adapter_for(vendor), event_from(vendor, who="other.paypal.com"), http)


async def test_the_order_of_the_certificates_does_not_matter() -> None:
    """And the issuer may be trusted itself, where PayPal does not send it along."""
    vendor = Vendor()
    async with vendor.serving() as http:
        vendor.certificates["CERT-1"] = pem(issuer(), leaf())
        assert not await refused(adapter_for(vendor), event_from(vendor), http)
        vendor.certificates["CERT-1"] = pem(leaf())
        trusting = adapter_for(vendor, trust_root=pem(issuer()).decode())
        assert not await refused(trusting, event_from(vendor), http)


async def test_a_kept_certificate_is_fetched_again_after_some_hours() -> None:
    """And at its end, whichever is sooner."""
    vendor = Vendor()
    vendor.certificates["CERT-2"] = pem(leaf(end=RECEIVED + timedelta(hours=1)), issuer())
    async with vendor.serving() as http:
        adapter = adapter_for(vendor)
        for name, hours, fetched in (("CERT-1", 11, 1), ("CERT-1", 13, 2), ("CERT-2", 0.9, 1), ("CERT-2", 1.1, 2)):
            path = f"/v1/notifications/certs/{name}"
            await refused(adapter, event_from(vendor, name=name), http)
            await refused(
                adapter, replace(event_from(vendor, name=name), received_at=RECEIVED + timedelta(hours=hours)), http
            )
            assert len(vendor.asked(path)) == fetched
        later = replace(event_from(vendor, name="CERT-2"), received_at=RECEIVED + timedelta(hours=2))
        assert await refused(adapter, later, http)


async def test_only_so_many_certificates_are_kept() -> None:
    """An attacker may name any number of addresses, and those that lead to nothing push no good one out."""
    vendor = Vendor()
    async with vendor.serving() as http:
        adapter = adapter_for(vendor)
        assert not await refused(adapter, event_from(vendor), http)
        for number in range(100):
            assert await refused(adapter, event_from(vendor, name=f"NONE-{number}"), http)
        assert not await refused(adapter, event_from(vendor), AWAY)
        for number in range(16):
            vendor.certificates[f"GOOD-{number}"] = pem(leaf(), issuer())
            assert not await refused(adapter, event_from(vendor, name=f"GOOD-{number}"), http)
        before = len(vendor.journal)
        assert not await refused(adapter, event_from(vendor), http)
        assert len(vendor.journal) == before + 1


@pytest.mark.parametrize("status", [301, 403, 429, 500, 503])
async def test_a_certificate_that_can_not_be_had_now_is_no_refusal(status: int) -> None:
    """PayPal is told to come again: 503, and not 401. A redirect is not followed."""
    vendor = Vendor()
    vendor.certificates["CERT-1"] = status
    async with vendor.serving() as http:
        with pytest.raises(TransportFault):
            await adapter_for(vendor).verify_afar(event_from(vendor), http)
    assert len(vendor.journal) == 1


async def test_nobody_there_is_no_refusal_either() -> None:
    """Connection refused, or TLS under a root that this system does not know."""
    gone, there = Vendor(), Vendor()
    async with gone.serving():
        pass
    async with there.serving() as http, Vendor().serving(tls=False) as trusting_nobody:
        with pytest.raises(Unreachable):
            await adapter_for(gone).verify_afar(event_from(gone), http)
        with pytest.raises(Unreachable):
            await adapter_for(there).verify_afar(event_from(there), trusting_nobody)
    assert not there.journal


def test_the_systems_roots_are_trusted_where_the_operator_names_none() -> None:
    """Those of today: the tests' own is not among them."""
    roots = _system_roots()
    assert len(roots) > 10
    assert root() not in roots
    assert START < RECEIVED < END


# Any byte


@pytest.fixture(scope="module")
def proven() -> tuple[Paypal, InboundEvent]:
    """An adapter that has the certificate already, and an event that it finds good."""

    async def first() -> tuple[Paypal, InboundEvent]:
        vendor = Vendor()
        async with vendor.serving() as http:
            adapter, event = adapter_for(vendor), event_from(vendor)
            assert not await refused(adapter, event, http)
        return adapter, event

    return asyncio.run(first())


SIGNED = ("paypal-transmission-id", "paypal-transmission-time", "paypal-transmission-sig", "paypal-auth-algo")


@given(data=st.data())
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
def test_one_changed_byte_proves_nothing(proven: tuple[Paypal, InboundEvent], data: st.DataObject) -> None:
    """In the body, in what is signed of the headers, or in the signature."""
    adapter, event = proven
    where = data.draw(st.sampled_from(("body", *SIGNED)))
    text = event.body if where == "body" else event.headers[where].encode("latin-1")
    place = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[place]))
    changed = text[:place] + bytes([byte]) + text[place + 1 :]
    if where == "body":
        event = replace(event, body=changed)
    else:
        event = replace(event, headers={**event.headers, where: changed.decode("latin-1")})
    assert asyncio.run(refused(adapter, event, AWAY))


def test_one_signature_has_one_spelling(proven: tuple[Paypal, InboundEvent]) -> None:
    """The spare bits of its last character say nothing, and must be what they are."""
    adapter, event = proven
    text = event.headers["paypal-transmission-sig"]
    assert text.endswith("==")
    other = next(
        spelled
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        if (spelled := f"{text[:-3]}{letter}==") != text and base64.b64decode(spelled) == base64.b64decode(text)
    )
    headers = {**event.headers, "paypal-transmission-sig": other}
    assert asyncio.run(refused(adapter, replace(event, headers=headers), AWAY))


@given(extra=st.binary(min_size=1, max_size=20), cut=st.integers(1, 20), at_front=st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_bytes_more_or_fewer_prove_nothing(
    proven: tuple[Paypal, InboundEvent], extra: bytes, cut: int, *, at_front: bool
) -> None:
    """White space included: the raw bytes are what is signed. One that looks like a form is asked about as an IPN."""
    adapter, event = proven
    for body in (extra + event.body if at_front else event.body + extra, event.body[cut:], event.body[:-cut]):
        assert asyncio.run(refused(adapter, replace(event, body=body), AWAY))


def test_the_same_json_written_anew_proves_nothing(proven: tuple[Paypal, InboundEvent]) -> None:
    """Verification is on the bytes, not on what they mean."""
    adapter, event = proven
    spaced = orjson.dumps(orjson.loads(event.body), option=orjson.OPT_INDENT_2)
    assert asyncio.run(refused(adapter, replace(event, body=spaced), AWAY))
    assert not asyncio.run(refused(adapter, event, AWAY))


# PayPal's own word


async def test_paypals_api_is_shown_the_event_as_it_came() -> None:
    """The body stands in the question byte for byte: numbers and order would change if it were written anew."""
    body = b'{"id":"WH-1", "n": 1.10,"z":1e2,"a":"\\u00e9"}'
    vendor = Vendor()
    async with vendor.serving(tls=False) as http:
        event = request(body, headers=signed(body, "https://api.paypal.com/v1/notifications/certs/CERT-1"))
        adapter = adapter_for(vendor, verify="api", cert_hosts=("api.paypal.com",))
        assert not await refused(adapter, event, http)
        asked = next(sent for _, path, sent in vendor.journal if path.endswith("verify-webhook-signature"))
        assert asked.endswith(b'"webhook_event":' + body + b"}")
        assert orjson.loads(asked) == {
            "auth_algo": "SHA256withRSA",
            "cert_url": "https://api.paypal.com/v1/notifications/certs/CERT-1",
            "transmission_id": "65f03660-ba1e-11ed-b284-5163cdac11a1",
            "transmission_sig": event.headers["paypal-transmission-sig"],
            "transmission_time": "2023-03-03T23:52:04Z",
            "webhook_id": WEBHOOK_ID,
            "webhook_event": orjson.loads(body),
        }
        vendor.verdict = "FAILURE"
        assert await refused(adapter, event, http)
        vendor.verdict = 400
        assert await refused(adapter, event, http)
    assert len(vendor.tokens) == 1


async def test_a_body_that_would_say_more_than_the_event_is_not_put_into_the_question() -> None:
    """Two JSON values, or half of one."""
    vendor = Vendor()
    async with vendor.serving(tls=False) as http:
        adapter = adapter_for(vendor, verify="api")
        for body in (b'{"id":1},"webhook_id":"mine"', b"{", b'{"a":1} {}'):
            assert await refused(adapter, event_from(vendor, body), http)
    assert not vendor.journal


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
async def test_an_api_that_does_not_say_is_no_refusal(status: int) -> None:
    """503: PayPal comes again when credentials or network are mended."""
    vendor = Vendor()
    async with vendor.serving(tls=False) as http:
        adapter = adapter_for(vendor, verify="api", cert_hosts=("api.paypal.com",))
        event = request(BODY, headers=signed(BODY, "https://api.paypal.com/v1/notifications/certs/CERT-1"))
        vendor.verdict = status
        with pytest.raises(TransportFault):
            await adapter.verify_afar(event, http)
        vendor.login, vendor.verdict = status, "SUCCESS"
        with pytest.raises(TransportFault):
            await adapter_for(vendor, verify="api", cert_hosts=("api.paypal.com",)).verify_afar(event, http)


# IPN


@pytest.fixture
async def ipn_at():
    vendor = Vendor()
    async with vendor.serving(tls=False) as http:
        yield vendor, adapter_for(vendor, ipn_url=f"{vendor.base_url}/cgi-bin/webscr"), http


async def test_an_ipn_is_posted_back_byte_for_byte(ipn_at) -> None:
    """With what asks for PayPal's word before it."""
    vendor, adapter, http = ipn_at
    assert not await refused(adapter, request(IPN), http)
    assert vendor.journal == [("POST", "/cgi-bin/webscr", b"cmd=_notify-validate&" + IPN)]


async def test_what_paypal_did_not_send_is_refused(ipn_at) -> None:
    """INVALID, in whatever white space."""
    vendor, adapter, http = ipn_at
    for said in ("INVALID", "INVALID\r\n"):
        vendor.ipn = said
        assert await refused(adapter, request(IPN), http)


@pytest.mark.parametrize("said", ["", "verified", "<html>VERIFIED</html>", 500, 302, 403])
async def test_an_answer_that_is_neither_is_no_refusal(ipn_at, said: str | int) -> None:
    """503: PayPal sends the IPN again."""
    vendor, adapter, http = ipn_at
    vendor.ipn = said
    with pytest.raises(TransportFault):
        await adapter.verify_afar(request(IPN), http)


async def test_an_ipn_that_pays_a_stranger_is_refused_before_anybody_is_asked(ipn_at) -> None:
    """PayPal has sent it, and would say so."""
    vendor, adapter, http = ipn_at
    for body in (IPN.replace(b"Seller%40", b"thief%40"), IPN + b"&receiver_email=thief%40example.org"):
        assert await refused(adapter, request(body), http)
    bare = adapter_for(vendor, receiver_email=())
    assert await refused(bare, request(IPN), http)
    assert not vendor.journal


@pytest.mark.parametrize(("test", "host"), [(b"", "ipnpb.paypal.com"), (b"&test_ipn=1", "ipnpb.sandbox.paypal.com")])
async def test_the_sandbox_is_asked_about_its_own(test: bytes, host: str) -> None:
    """The live address does not know them, and a buyer can't make a test a purchase by leaving the mark out."""
    asked: list[str] = []

    class Elsewhere:
        async def send(self, _method: str, address: str, **_: Any) -> Any:
            asked.append(address)
            raise TransportFault("no network in tests")

    with pytest.raises(TransportFault):
        await adapter_for(Vendor()).verify_afar(request(IPN + test), Elsewhere())  # type: ignore[arg-type]
    assert asked == [f"https://{host}/cgi-bin/webscr"]
