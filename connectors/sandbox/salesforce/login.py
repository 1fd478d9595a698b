"""The token endpoint: client credentials and the JWT bearer flow, with the vendor's own refusals."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import cache
from typing import Any

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

CLIENT_ID = "sandbox-consumer-key"
CLIENT_SECRET = "sandbox-consumer-secret"  # noqa: S105 - opens nothing but this emulator
USERNAME = "bridge@example.org.sandbox"
AUDIENCE = "https://login.salesforce.com"

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LONGEST_LIFE = 180 + 60  # seconds, with what two clocks may differ


class LoginRefused(Exception):
    """An answer of the token endpoint that is not a success."""

    def __init__(self, error: str, description: str) -> None:
        """Keep what is to be said."""
        super().__init__(error)
        self.error = error
        self.description = description

    def answer(self) -> web.Response:
        """Say it: an object, not an array."""
        return web.json_response({"error": self.error, "error_description": self.description}, status=400)


@cache
def key() -> RSAPrivateKey:
    """Return the key whose certificate the emulated app has; made for this process."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def private_key() -> str:
    """Return the key as an operator has it."""
    return key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class TokenEndpoint:
    """Gives out sessions.

    Attributes:
        logins: how many sessions were given out.
        login_limit: how many it gives out at most; None is any number.
        ahead: seconds by which its clock is ahead of this machine's.
        approved: whether the user may use the app, for a signed login.
        run_as: whether client credentials have a user to run as.
        refusal: (error, description) of every login from now on.
    """

    def __init__(self) -> None:
        """Start with no session."""
        self.logins = 0
        self.login_limit: int | None = None
        self.ahead = 0.0
        self.approved = True
        self.run_as = True
        self.refusal: tuple[str, str] | None = None
        self.sessions: set[str] = set()

    async def token(self, request: web.Request, instance: Callable[[], str], base_url: str) -> web.Response:
        """Answer one login."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            self._check(form, request.headers.get("Authorization", ""))
        except LoginRefused as refused:
            answer = refused.answer()
        else:
            answer = web.json_response(self._granted(instance(), base_url))
        answer.headers["Date"] = formatdate(time.time() + self.ahead, usegmt=True)
        return answer

    def _granted(self, instance: str, base_url: str) -> dict[str, str]:
        self.logins += 1
        session = f"00D5g0000000001!AQ.sandbox.session.{self.logins}"
        self.sessions.add(session)
        return {
            "access_token": session,
            "signature": "c2FuZGJveA==",
            "scope": "api",
            "instance_url": instance,
            "id": f"{base_url}/id/00D5g0000000001EAA/0055g000000001AAA",
            "token_type": "Bearer",
            "issued_at": "1700000000000",
        }

    def _check(self, form: Mapping[str, str], authorization: str) -> None:
        if self.refusal is not None:
            raise LoginRefused(*self.refusal)
        if self.login_limit is not None and self.logins >= self.login_limit:
            raise LoginRefused("rate_limit_exceeded", "login rate exceeded")
        grant = form.get("grant_type")
        if grant == _JWT_BEARER:
            self._check_assertion(form.get("assertion", ""))
        elif grant == "client_credentials":
            self._check_client(*(_basic(authorization) or (form.get("client_id"), form.get("client_secret"))))
        else:
            raise LoginRefused("unsupported_grant_type", "grant type not supported")

    def _check_client(self, client: str | None, secret: str | None) -> None:
        if client != CLIENT_ID:
            raise LoginRefused("invalid_client_id", "client identifier invalid")
        if secret != CLIENT_SECRET:
            raise LoginRefused("invalid_grant", "authentication failure - invalid client credentials")
        if not self.run_as:
            raise LoginRefused("invalid_grant", "no client credentials user enabled")

    def _check_assertion(self, assertion: str) -> None:
        claims = _claims(assertion)
        if claims.get("iss") != CLIENT_ID:
            raise LoginRefused("invalid_client_id", "client identifier invalid")
        if claims.get("aud") != AUDIENCE:
            raise LoginRefused("invalid_grant", "audience is invalid")
        try:
            left = float(claims.get("exp", 0)) - (time.time() + self.ahead)
        except ValueError:
            left = 0.0
        if left <= 0:
            raise LoginRefused("invalid_grant", "expired authorization code")
        if left > _LONGEST_LIFE:
            raise LoginRefused("invalid_grant", "invalid assertion")
        if claims.get("sub") != USERNAME or not self.approved:
            raise LoginRefused("invalid_grant", "user hasn't approved this consumer")


def _claims(assertion: str) -> Any:
    signed, _, signature = assertion.rpartition(".")
    try:
        header, claims = (orjson.loads(_decoded(part)) for part in signed.split("."))
        key().public_key().verify(_decoded(signature), signed.encode(), PKCS1v15(), SHA256())
    except (ValueError, InvalidSignature):
        raise LoginRefused("invalid_grant", "invalid assertion") from None
    if header.get("alg") != "RS256":
        raise LoginRefused("invalid_grant", "invalid assertion")
    return claims


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme != "Basic":
        return None
    name, _, secret = base64.b64decode(encoded).decode().partition(":")
    return name, secret
