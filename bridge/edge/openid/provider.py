"""What an OpenID provider is asked: what it publishes, and who it is that a browser came back for."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

from bridge.contract.errors import TransportFault
from bridge.edge.openid import CodeRefused, ProviderFault
from bridge.edge.openid.errand import Errand
from bridge.edge.openid.kept import Kept
from bridge.edge.openid.proof import Key, KeyMissing, proven, usable
from bridge.edge.openid.terms import Terms
from bridge.kit.clock import Clock
from bridge.kit.http import Answer, Http, Windows, open_session

_SECONDS: Final = 5.0
_LARGEST: Final = 512 * 1024  # bytes of an answer
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_WRONG_CLIENT: Final = frozenset({"invalid_client", "unauthorized_client"})
_ERRORS: Final = _WRONG_CLIENT | {
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_request",
    "invalid_scope",
    "login_required",
    "server_error",
    "temporarily_unavailable",
    "unsupported_grant_type",
    "unsupported_response_type",
}
"""Errors that the standards name. Of any other one nothing is repeated: it may hold whatever somebody wrote into it."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a provider tells of itself.

    Attributes:
        basic: whether the client's secret goes into a header, or else into the form.
        tells_itself: whether it names itself when it sends a browser back (RFC 9207).
        ending: where a browser ends its session there; empty where it can't.
        said: the whole document.
    """

    authorization: str
    token: str
    keys: str
    basic: bool
    tells_itself: bool
    ending: str
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who came back. ``token``: the ID token that says it."""

    claims: Mapping[str, Any]
    token: str = field(repr=False)


class Provider:
    """An OpenID provider, asked within limits of time and size."""

    def __init__(self, terms: Terms, clock: Clock, seconds: float = _SECONDS) -> None:
        """Speak with the issuer of ``terms``, each request at most ``seconds``; nothing is asked yet."""
        self.terms = terms
        self._clock = clock
        self._seconds = seconds
        self._published = Kept(self._discover, clock)
        self._keys = Kept(self._fetch_keys, clock)

    async def published(self) -> Published:
        """Return what it tells of itself.

        Raises:
            ProviderFault: it can't be asked, or is not the one that the operator named.
        """
        return await self._published.get()

    async def keys(self) -> list[Key]:
        """Return the keys that may sign for it.

        Raises:
            ProviderFault: it can't be asked, or publishes none.
        """
        return await self._keys.get()

    async def address(self, errand: Errand) -> str:
        """Return where to send a browser.

        Raises:
            ProviderFault: it can't be asked where that is.
        """
        there = (await self.published()).authorization
        asked = {
            "response_type": "code",
            "client_id": self.terms.client_id,
            "redirect_uri": self.terms.redirect_uri,
            "scope": " ".join(self.terms.scopes),
            "state": errand.state,
            "nonce": errand.nonce,
            "code_challenge": errand.challenge,
            "code_challenge_method": "S256",
        }
        return f"{there}{'&' if '?' in there else '?'}{urlencode(asked)}"

    async def ending(self, token: str) -> str:
        """Return where to send a browser to end its session there; empty where the provider has no such address.

        Args:
            token: the ID token of the login, by which the provider knows whose session it is; empty lets it ask.

        Raises:
            ProviderFault: it can't be asked where that is.
        """
        there = (await self.published()).ending
        if not there:
            return ""
        asked = {"client_id": self.terms.client_id, "post_logout_redirect_uri": self.terms.logged_out_uri}
        asked |= {"id_token_hint": token} if token else {}
        return f"{there}{'&' if '?' in there else '?'}{urlencode(asked)}"

    async def identity(self, code: str, errand: Errand) -> Identity:
        """Return who it is that came back with a code, proven.

        Raises:
            ProviderFault: it can't be asked.
            CodeRefused: it does not take the code.
            Unproven: its answer can't be believed.
        """
        token = await self._id_token(code, errand)
        try:
            claims = proven(token, await self._keys.get(), self.terms, errand.nonce)
        except KeyMissing:  # it may have a new one
            claims = proven(token, await self._keys.get(newer=True), self.terms, errand.nonce)
        return Identity(claims, token)

    async def _id_token(self, code: str, errand: Errand) -> str:
        there = await self.published()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.terms.redirect_uri,
            "client_id": self.terms.client_id,
            "code_verifier": errand.verifier,
        }
        headers = {"Accept": "application/json"}
        if there.basic:
            pair = f"{quote_plus(self.terms.client_id)}:{quote_plus(self.terms.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_secret"] = self.terms.client_secret
        answer = await self._asked("POST", there.token, "its token address", form=form, headers=headers)
        said = answer.json if isinstance(answer.json, dict) else {}
        if answer.status != 200:
            raise _refused(answer.status, said)
        token = said.get("id_token")
        if not isinstance(token, str):
            raise ProviderFault("its token address gives no ID token")
        return token

    async def _discover(self) -> Published:
        address = f"{self.terms.issuer.rstrip('/')}/.well-known/openid-configuration"
        said = await self._document(address, "its discovery document")
        if said.get("issuer") != self.terms.issuer:
            raise ProviderFault(
                "it calls itself by another name than issuer says: write that one letter by letter as in its discovery document"
            )
        methods = said.get("token_endpoint_auth_methods_supported")
        return Published(
            authorization=self._address(said, "authorization_endpoint"),
            token=self._address(said, "token_endpoint"),
            keys=self._address(said, "jwks_uri"),
            basic=not isinstance(methods, list) or "client_secret_basic" in methods,
            tells_itself=said.get("authorization_response_iss_parameter_supported") is True,
            ending=self._address_if_any(said, "end_session_endpoint"),
            said=said,
        )

    def _address_if_any(self, said: Mapping[str, Any], name: str) -> str:
        """As :meth:`_address`; empty where there is none that could be used: nobody is kept out by that."""
        try:
            return self._address(said, name)
        except ProviderFault:
            return ""

    def _address(self, said: Mapping[str, Any], name: str) -> str:
        """Return an address that the provider gives. Secrets and keys go through it: in clear only where the issuer is on this machine."""
        found = said.get(name)
        text = found if isinstance(found, str) and found.isascii() and found.isprintable() and " " not in found else ""
        try:
            parts = urlsplit(text)
            here = urlsplit(self.terms.issuer).scheme == "http" and parts.hostname in _LOOPBACK
            fits = parts.hostname and not parts.fragment and (parts.port is None or parts.port > 0)
            fits = fits and parts.scheme in ("https", *(["http"] if here else []))
        except ValueError:
            fits = False
        if not fits:
            raise ProviderFault(f"its discovery document: {name} is no https:// address")
        return text

    async def _fetch_keys(self) -> list[Key]:
        found = usable((await self._document((await self.published()).keys, "its keys")).get("keys"))
        if not found:
            raise ProviderFault("it publishes no key that could sign an ID token")
        return found

    async def _document(self, address: str, what: str) -> dict[str, Any]:
        answer = await self._asked("GET", address, what, headers={"Accept": "application/json"})
        if answer.status != 200:
            raise ProviderFault(f"{what}: answered with status {answer.status}")
        if not isinstance(answer.json, dict):
            raise ProviderFault(f"{what}: what came is no JSON object")
        return answer.json

    async def _asked(
        self,
        method: str,
        address: str,
        what: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str],
    ) -> Answer:
        # A session for each: logins are rare, and so nothing stays open that a reload would have to close.
        async with open_session(1) as session:
            http = Http("", Windows((), self._clock), self._seconds, session)
            try:
                answer = await http.send(method, address, form=form, headers=headers)
            except TransportFault as fault:
                raise ProviderFault(f"{what}: {fault}") from None
        if len(answer.body) > _LARGEST:
            raise ProviderFault(f"{what}: the answer is longer than {_LARGEST // 1024} KiB")
        return answer


def _refused(status: int, said: Mapping[str, Any]) -> ProviderFault | CodeRefused:
    error = said.get("error")
    if error == "invalid_grant":
        return CodeRefused("the provider does not take the code")
    if status == 401 or error in _WRONG_CLIENT:
        return ProviderFault("it does not take client_id and client_secret")
    return ProviderFault(f"its token address: answered with status {status}: {standard(error)}")


def standard(error: object) -> str:
    """Return the name of an error as the standards have it, or that it is none of those."""
    return error if isinstance(error, str) and error in _ERRORS else "an error of its own"
