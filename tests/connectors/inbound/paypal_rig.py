"""What the tests of the PayPal source share: a CA, and a stand-in for PayPal's addresses on loopback."""

from __future__ import annotations

import base64
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows

WEBHOOK_ID = "0AB12345CD678901E"
CLIENT_ID, CLIENT_SECRET = "AeA1QIZXiflr1", "EL1tVxAjhT7cJimnz"
NAME = "messageverificationcerts.paypal.com"
LOCAL = "localhost"
START, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)


@cache
def key_of(who: str) -> rsa.RSAPrivateKey:
    """A key for each name; making one is slow."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(
    name: str, issuer: str = "", *, ca: bool = False, start: datetime = START, end: datetime = END, subject: str = ""
) -> x509.Certificate:
    """Issue a certificate for ``name``, signed by the key of ``issuer``, by default its own."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject or name, issuer or name)]
    key, signer = key_of(name), key_of(issuer or name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if ca:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(purposes, critical=False)
    return builder.sign(signer, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    """Write them one after the other, as PayPal's certificate file has them."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


@cache
def root() -> x509.Certificate:
    """The root that the tests trust."""
    return certificate("Root of the tests", ca=True)


@cache
def issuer() -> x509.Certificate:
    """An issuer between the root and PayPal's certificate."""
    return certificate("Issuer of the tests", "Root of the tests", ca=True)


def leaf(name: str = NAME, **more: Any) -> x509.Certificate:
    """A certificate under the issuer."""
    return certificate(name, "Issuer of the tests", **more)


def signed(
    body: bytes, cert_url: str, *, webhook_id: str = WEBHOOK_ID, who: str = NAME, **other: str
) -> dict[str, str]:
    """Return the headers of a webhook, signed as PayPal does."""
    headers = {
        "paypal-auth-algo": "SHA256withRSA",
        "paypal-auth-version": "v2",
        "paypal-cert-url": cert_url,
        "paypal-transmission-id": "65f03660-ba1e-11ed-b284-5163cdac11a1",
        "paypal-transmission-time": "2023-03-03T23:52:04Z",
        **other,
    }
    name, time = headers["paypal-transmission-id"], headers["paypal-transmission-time"]
    message = f"{name}|{time}|{webhook_id}|{zlib.crc32(body) & 0xFFFFFFFF}".encode()
    algorithm = hashes.SHA1() if headers["paypal-auth-algo"] == "SHA1withRSA" else hashes.SHA256()
    signature = key_of(who).sign(message, PKCS1v15(), algorithm)
    return {**headers, "paypal-transmission-sig": base64.b64encode(signature).decode()}


class Vendor:
    """PayPal's addresses on loopback.

    Attributes:
        certificates: by the last part of their address; a number is a status.
        things: path -> JSON, or a status.
        verdict: what the verification API says; a number is a status.
        ipn: what the IPN address says; a number is a status.
        journal: method, path and body of every request.
        tokens: the tokens that were handed out.
    """

    def __init__(self) -> None:
        self.certificates: dict[str, bytes | int] = {"CERT-1": pem(leaf(), issuer())}
        self.things: dict[str, Any] = {}
        self.verdict: str | int = "SUCCESS"
        self.ipn: str | int = "VERIFIED"
        self.journal: list[tuple[str, str, bytes]] = []
        self.tokens: list[str] = []
        self.revoked: set[str] = set()
        self.login = 200
        self.base_url = ""

    def cert_url(self, name: str = "CERT-1") -> str:
        return f"{self.base_url}/v1/notifications/certs/{name}"

    @property
    def host(self) -> str:
        return self.base_url.partition("://")[2]

    def asked(self, start: str) -> list[str]:
        """Return the paths that were asked for and begin so."""
        return [path for _, path, _ in self.journal if path.startswith(start)]

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.journal.append((request.method, request.path, body))
        if request.path.startswith("/v1/notifications/certs/"):
            found = self.certificates.get(request.path.rpartition("/")[2], 404)
            return web.Response(status=found) if isinstance(found, int) else web.Response(body=found)
        if request.path == "/cgi-bin/webscr":
            return web.Response(status=self.ipn) if isinstance(self.ipn, int) else web.Response(text=self.ipn)
        if request.path == "/v1/oauth2/token":
            return self._logged_in(request, body)
        if request.headers.get("Authorization", "") not in {
            f"Bearer {token}" for token in set(self.tokens) - self.revoked
        }:
            return web.json_response({"error": "invalid_token"}, status=401)
        if request.path == "/v1/notifications/verify-webhook-signature":
            if isinstance(self.verdict, int):
                return web.json_response({}, status=self.verdict)
            return web.json_response({"verification_status": self.verdict})
        found = self.things.get(request.path, 404)
        return web.json_response({}, status=found) if isinstance(found, int) else web.json_response(found)

    def _logged_in(self, request: web.Request, body: bytes) -> web.Response:
        good = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if self.login != 200:
            return web.json_response({"error": "server_error"}, status=self.login)
        if request.headers.get("Authorization") != good or body != b"grant_type=client_credentials":
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens.append(f"A21AA-{len(self.tokens)}")
        return web.json_response({"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 32400})

    @asynccontextmanager
    async def serving(self, *, tls: bool = True) -> AsyncIterator[Http]:
        """Listen, and yield what an adapter speaks through; with TLS under the tests' own root."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        here, there = _contexts() if tls else (None, None)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=here)
        await site.start()
        port = runner.addresses[0][1]
        self.base_url = f"https://{LOCAL}:{port}" if tls else f"http://127.0.0.1:{port}"
        connector = aiohttp.TCPConnector(ssl=there) if there is not None else aiohttp.TCPConnector()
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        try:
            yield Http(self.base_url, Windows((), SystemClock()), 5.0, session)
        finally:
            await session.close()
            await runner.cleanup()


def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    here, there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        key = key_of(LOCAL).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(key + pem(leaf(LOCAL), issuer()))
        here.load_cert_chain(file)
    there.load_verify_locations(cadata=pem(root()).decode())
    return here, there


def order(**changed: Any) -> dict[str, Any]:
    """An order (v2) as the API tells it: two units, one with items."""
    return {
        "id": "5O190127TN364715T",
        "status": "COMPLETED",
        "payer": {
            "name": {"given_name": "John", "surname": "Doe"},
            "email_address": "buyer@example.com",
            "payer_id": "QYR5Z8XDVJNXQ",
        },
        "purchase_units": [
            {
                "reference_id": "default",
                "custom_id": "INTRO",
                "invoice_id": "1001",
                "amount": {"currency_code": "USD", "value": "10.00"},
                "payments": {"captures": [capture("3C679367HH908", "10.00")]},
            },
            {
                "reference_id": "second",
                "amount": {"currency_code": "USD", "value": "90.00"},
                "items": [
                    {"name": "Ethics", "sku": "ETHICS", "quantity": "2", "unit_amount": {"value": "20.00"}},
                    {"name": "A book", "quantity": "1", "unit_amount": {"value": "50.00"}},
                ],
                "payments": {"captures": [capture("4D780478II019", "90.00")]},
            },
        ],
        **changed,
    }


def capture(name: str, value: str, status: str = "COMPLETED") -> dict[str, Any]:
    return {"id": name, "status": status, "amount": {"currency_code": "USD", "value": value}}


def webhook(kind: str, resource: Mapping[str, Any], *, name: str = "WH-1", at: str = "2026-05-01T10:00:00Z") -> bytes:
    """A webhook's body, without white space as PayPal sends it."""
    return orjson.dumps({"id": name, "create_time": at, "event_type": kind, "resource": resource})


def days(number: float) -> timedelta:
    return timedelta(days=number)
