"""The way to an OpenID provider and back: who returns from it, and why somebody may not get in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import web

from bridge.edge.console.access import Access
from bridge.edge.forwarded import Networks, Peer, peer
from bridge.edge.openid import CodeRefused, OpenIDFault, ProviderFault, Unproven
from bridge.edge.openid.errand import Errand
from bridge.edge.openid.provider import Provider, standard
from bridge.edge.openid.terms import Terms
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import console
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

COOKIE: Final = "bridge_console_openid"
ID_COOKIE: Final = "bridge_console_openid_id"
"""The ID token of a login, for the provider: whose session there is to end. Kept by the browser alone, as a login under way is."""

BACK: Final = "/callback"
"""Where browsers come back to, below the address that they leave from."""

_WINDOW: Final = 15 * 60_000  # milliseconds
_MOST_OF_ADDRESS: Final = 20  # of logins from one address that the provider or the terms refuse
_LONGEST_CODE: Final = 4_096
_LONGEST_ID: Final = 3_500  # browsers keep no cookie of more than 4 kB; without it the provider asks
_ID: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}")
_NOT_NOW: Final = "The login service can't be used at the moment. Try again in a minute; the bridge's log tells whoever looks after it more."


@dataclass(frozen=True, slots=True)
class Turned:
    """A login that did not succeed.

    Attributes:
        said: to whoever tried.
        over: whether it can't be gone on with.
    """

    status: int
    said: str
    over: bool = True
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class Returned:
    """Somebody who got in.

    Attributes:
        seconds: for how long.
        back: the page that they came from.
        id_token: what the browser keeps for the end of the session at the provider; empty where there is no such end.
    """

    token: str
    seconds: int
    back: str
    id_token: str = field(repr=False)


_STRAY = Turned(400, "That login is over, or was begun in another browser. Please try once more.", over=False)
_DENIED = Turned(403, "The login service did not let you in, or you turned back there.")
_NO_ROLE = Turned(
    403, "The login service knows you, but nobody gave you a role here. Ask whoever looks after the bridge."
)
_NO_NAME = Turned(403, "The login service does not tell your name. Ask whoever looks after the bridge.")
_NOT_PROVEN = Turned(403, "What the login service says of you could not be proven. Please try once more.")


class OpenIDLogin:
    """Sends browsers to the provider, and judges what they bring back."""

    def __init__(
        self,
        access: Access,
        ledger: Ledger,
        terms: Callable[[], Terms | None],
        trusted: Networks,
        clock: Clock,
    ) -> None:
        """Go by the ``terms`` of the moment, None where there is no provider; arguments else as for :class:`Access`."""
        self._access = access
        self._ledger = ledger
        self._terms = terms
        self._trusted = trusted
        self._clock = clock
        self._last: Provider | None = None

    @property
    def button(self) -> tuple[str, str] | None:
        """What stands on the button and where it leads, or None where there is none.

        The whole address: what the browser keeps for the way back has to be kept at the name that it comes back to.
        """
        terms = self._terms()
        return (terms.label, terms.redirect_uri.removesuffix(BACK)) if terms is not None else None

    @property
    def https(self) -> bool:
        """Whether browsers leave and come back by HTTPS, whatever a proxy says."""
        terms = self._terms()
        return terms is not None and terms.redirect_uri.lower().startswith("https:")

    def _provider(self) -> Provider | None:
        terms = self._terms()
        if terms is None:
            self._last = None
        elif self._last is None or self._last.terms != terms:
            self._last = Provider(terms, self._clock)  # what the one before published says nothing of this one
        return self._last

    async def leaves(self, request: web.Request, back: str) -> tuple[str, Errand] | Turned | None:
        """Return where to send a browser and what it has to keep; None where there is no provider."""
        provider = self._provider()
        if provider is None:
            return None
        errand = Errand.start(provider.terms.issuer, back, milliseconds(self._clock.now()))
        try:
            return await provider.address(errand), errand
        except ProviderFault as fault:
            return self._unusable(fault, peer(request, self._trusted))

    async def ends(self, request: web.Request) -> str:
        """Return where a browser ends its session at the provider; empty where it can't."""
        provider = self._provider()
        if provider is None:
            return ""
        kept = request.cookies.get(ID_COOKIE, "")
        try:
            return await provider.ending(kept if len(kept) <= _LONGEST_ID and _ID.fullmatch(kept) else "")
        except ProviderFault as fault:
            self._unusable(fault, peer(request, self._trusted))
            return ""

    async def returns(self, request: web.Request) -> Returned | Turned | None:
        """Return who came back; None where there is no provider.

        Raises:
            LedgerError: nobody can tell whether they may try, or their session can't be kept.
        """
        provider = self._provider()
        if provider is None:
            return None
        caller, now = peer(request, self._trusted), milliseconds(self._clock.now())
        errand = Errand.read(request.cookies.get(COOKIE, ""), provider.terms.issuer, now)
        if errand is None or not errand.fits(request.query.get("state", "")):
            return self._turned(_STRAY, "it was not begun in this browser, or is over", caller)
        if (turned := await self._refused(request, provider, caller)) is not None:
            return turned
        most = {console.digest("openid", caller.network): _MOST_OF_ADDRESS}
        if wait := await self._ledger.aside(lambda unit: console.guess(unit, most, now, _WINDOW)):
            log.warning("console.locked_out", user="-", address=caller.address)
            minutes = math.ceil(wait / 60_000)
            return Turned(429, f"Too many tries failed. Nobody can log in this way for {minutes} min.", minutes=minutes)
        return await self._judged(provider, request.query.get("code", ""), errand, caller, most)

    async def _refused(self, request: web.Request, provider: Provider, caller: Peer) -> Turned | None:
        """Return why the provider's answer is none, where it shows without asking it."""
        query = request.query
        try:
            named = (await provider.published()).tells_itself
        except ProviderFault as fault:
            return self._unusable(fault, caller)
        if query.get("iss", None if named else provider.terms.issuer) != provider.terms.issuer:
            return self._turned(_NOT_PROVEN, "another issuer sent the browser back", caller)
        if query.get("error") == "access_denied":
            return self._turned(_DENIED, "the provider denied it", caller)
        if "error" in query:
            return self._unusable(ProviderFault(f"it sent the browser back: {standard(query['error'])}"), caller)
        if not 0 < len(query.get("code", "")) <= _LONGEST_CODE:
            return self._turned(_NOT_PROVEN, "the browser came back without a code", caller)
        return None

    async def _judged(
        self, provider: Provider, code: str, errand: Errand, caller: Peer, most: Mapping[str, int]
    ) -> Returned | Turned:
        terms = provider.terms

        def forgiven(unit: Unit) -> None:
            console.succeeded(unit, [*most])

        try:
            identity = await provider.identity(code, errand)
            ending = (await provider.published()).ending
        except ProviderFault as fault:
            await self._ledger.aside(forgiven)  # nobody's guess
            return self._unusable(fault, caller)
        except CodeRefused as fault:
            return self._turned(_STRAY, fault, caller, over=True)
        except Unproven as fault:
            return self._turned(_NOT_PROVEN, fault, caller)
        role, name = terms.role_of(identity.claims), terms.name_of(identity.claims)
        if role is None:
            return self._turned(
                _NO_ROLE, "none of the claim's values has a role, or it is an address that is not verified", caller
            )
        if name is None:
            return self._turned(
                _NO_NAME, "the claim with the name is missing, or an address that is not verified", caller
            )
        token = await self._access.let_in(name, terms.fingerprint(role), caller, terms.session, forgiven)
        kept = identity.token if ending and len(identity.token) <= _LONGEST_ID else ""
        return Returned(token, terms.session // 1_000, errand.back, kept)

    @staticmethod
    def _turned(turned: Turned, why: str | OpenIDFault, caller: Peer, *, over: bool | None = None) -> Turned:
        log.warning("console.openid_refused", why=str(why), address=caller.address)
        return turned if over is None else Turned(turned.status, turned.said, over=over)

    @staticmethod
    def _unusable(fault: ProviderFault, caller: Peer) -> Turned:
        log.error("console.openid_unusable", fault=str(fault), address=caller.address)
        return Turned(502, _NOT_NOW)
