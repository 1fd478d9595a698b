"""Logging in: a client's credentials or a signed assertion, and what the token endpoint's refusals mean."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from bridge.contract.outbound import Outcome, TryLater
from bridge.kit.clock import Clock
from bridge.kit.http import Answer, Http
from bridge.kit.masking import mask_text
from connectors.outbound.salesforce.errors import LOGIN
from connectors.outbound.salesforce.settings import SalesforceSettings, rsa_key

SHORT_PAUSE = 300.0
"""Seconds to wait at a limit of logins or of concurrency: the vendor names none; they clear within minutes."""
_ASSERTION_LIFE = 180  # seconds; the vendor takes no longer one
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXPIRED = "expired authorization code"
_DESCRIPTIONS: Mapping[str, str] = {  # of invalid_grant
    "audience is invalid": "wrong-audience",
    "invalid assertion": "assertion-refused",
    _EXPIRED: "assertion-expired",
    "user hasn't approved this consumer": "user-not-approved",
    "no client credentials user enabled": "no-run-as-user",
    "invalid client credentials": "wrong-secret",
    "user is locked": "user-locked",
    "expired access/refresh token": "access-expired",
}
_ERRORS: Mapping[str, str] = {
    "invalid_client_id": "wrong-client",
    "invalid_client": "wrong-secret",
    "inactive_user": "user-inactive",
    "inactive_org": "org-inactive",
    "unsupported_grant_type": "flow-not-enabled",
}


class NoSession(Exception):
    """There is no session to be had; ``outcome`` says what follows for everything that needed it."""

    def __init__(self, outcome: Outcome) -> None:
        """Keep the outcome."""
        super().__init__()
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Granted:
    """A session, and the address where it counts."""

    token: str
    instance: str


class Login:
    """Gets sessions for one org."""

    def __init__(self, settings: SalesforceSettings, http: Http, clock: Clock) -> None:
        """Log in with the first call, not yet."""
        self._settings = settings
        self._http = http
        self._clock = clock
        self._key = rsa_key(settings.private_key) if settings.private_key else None

    async def granted(self) -> Granted:
        """Log in.

        Raises:
            NoSession: the token endpoint gave none.
            TransportFault: no answer came back.
        """
        answer = await self._asked(self._clock.now().timestamp())
        said = _said(answer)
        if self._key is not None and said.get("error_description") == _EXPIRED:
            # One of the two clocks is wrong. Signed again, once, by theirs, which alone counts.
            said = _said(answer := await self._asked(_their_time(answer) or self._clock.now().timestamp()))
        token = said.get("access_token")
        if not answer.ok or not isinstance(token, str) or not token:
            raise NoSession(_no_token(answer, said))
        instance = _origin(str(said.get("instance_url") or ""), self._http.base_url)
        if instance is None:
            raise NoSession(LOGIN["unsafe-instance"].needs_operator("", "lane"))
        return Granted(token, instance)

    async def _asked(self, now: float) -> Answer:
        settings = self._settings
        if self._key is not None:
            claims = {"iss": settings.client_id, "sub": settings.username, "aud": settings.login_for}
            assertion = _signed({**claims, "exp": int(now) + _ASSERTION_LIFE}, self._key)
            form = {"grant_type": _JWT_BEARER, "assertion": assertion}
        else:
            secret = settings.client_secret.get_secret_value()
            form = {"grant_type": "client_credentials", "client_id": settings.client_id, "client_secret": secret}
        return await self._http.send("POST", "/services/oauth2/token", form=form)


def _signed(claims: Mapping[str, Any], key: RSAPrivateKey) -> str:
    signed = b".".join(_base64(orjson.dumps(part)) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    return (signed + b"." + _base64(key.sign(signed, PKCS1v15(), SHA256()))).decode()


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _said(answer: Answer) -> dict[str, Any]:
    said = answer.json
    return said if isinstance(said, dict) else {}


def _their_time(answer: Answer) -> float | None:
    try:
        return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except ValueError:
        return None


def _origin(instance_url: str, base_url: str) -> str | None:
    """Return where the API is: https anywhere, or plain http where the operator's own address is that very one."""
    try:
        there, ours = urlsplit(instance_url), urlsplit(base_url)
        _ = there.port  # reading it is what checks it
    except ValueError:
        return None
    ours_too = (there.scheme, there.netloc.casefold()) == ("http", ours.netloc.casefold()) and ours.scheme == "http"
    if not there.hostname or "@" in there.netloc or not (there.scheme == "https" or ours_too):
        return None
    return f"{there.scheme}://{there.netloc}"


def _no_token(answer: Answer, said: Mapping[str, Any]) -> Outcome:
    error, description = str(said.get("error") or ""), str(said.get("error_description") or "")
    why = "log in: " + ", ".join(
        mask_text(part)[:200] for part in (f"HTTP {answer.status}", error, description) if part
    )
    if error == "rate_limit_exceeded" or answer.status == 429:
        return TryLater(why, answer.retry_after or SHORT_PAUSE, scope="lane", cause="throttled")
    if answer.ok or answer.status in (408, 420, 425) or answer.status >= 500:
        return TryLater(why, answer.retry_after, cause="outage")
    named = (name for text, name in _DESCRIPTIONS.items() if text in description.casefold())
    name = next(named, "login-refused") if error == "invalid_grant" else _ERRORS.get(error, "login-refused")
    return LOGIN[name].needs_operator(why, "lane")
