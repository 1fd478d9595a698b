"""Who may look, and who may act: logging in, sessions, the lock-out, and proof that a form is ours."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import structlog
from aiohttp import web

from bridge.edge.console import passwords
from bridge.edge.console.guesses import LOCKED, Guesses
from bridge.edge.forwarded import Networks, Peer, peer
from bridge.edge.openid.terms import Terms
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import console, repairs
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

COOKIE: Final = "bridge_console"
FORM_COOKIE: Final = "bridge_console_form"
PATH: Final = "/console"
_HOURS: Final = 12
_LASTS: Final = _HOURS * 3_600_000  # milliseconds
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in, as the configuration says. ``password`` is an argon2id hash."""

    password: str = field(repr=False)
    role: Literal["operator", "viewer"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is logged in.

    Attributes:
        csrf: stands in every form that is shown to them, and must come back with it.
    """

    name: str
    role: Literal["operator", "viewer"]
    csrf: str = field(repr=False)

    @property
    def operates(self) -> bool:
        """Whether they may change anything."""
        return self.role == "operator"


@dataclass(frozen=True, slots=True)
class Refused:
    """A login that did not succeed.

    Attributes:
        minutes: for which nobody may try there, 0 when it was just wrong; where it is ``slowed``, for which the name may be
            locked.
        slowed: so much has failed at the address that each try takes a while.
    """

    minutes: int = 0
    slowed: bool = False


class Access:
    """Lets people in."""

    def __init__(
        self,
        ledger: Ledger,
        users: Callable[[], Mapping[str, User]],
        terms: Callable[[], Terms | None],
        trusted: Networks,
        clock: Clock,
        *,
        https: bool,
    ) -> None:
        """Let the configuration's ``users`` of the moment in, and whom an OpenID provider names under its ``terms``.

        Args:
            ledger: keeps sessions and failures.
            users: by name.
            terms: None where there is no provider.
            trusted: networks of proxies that are believed.
            clock: for the ends of sessions.
            https: whether the world reaches this address by HTTPS, whatever a proxy says.
        """
        self._ledger = ledger
        self._users = users
        self._terms = terms
        self._trusted = trusted
        self._clock = clock
        self._https = https
        self._guesses = Guesses(ledger, clock)
        # Each takes 64 MiB and a core for a while, for whoever asks.
        self._hashing, self._hashing_suspected = asyncio.Semaphore(2), asyncio.Semaphore(1)

    @property
    def passwords(self) -> bool:
        """Whether anybody may log in with a password."""
        return bool(self._users())

    async def visitor(self, request: web.Request) -> Visitor | None:
        """Return who is logged in, or None.

        Who left the configuration, has another password by now, or came from a provider under other terms, is out at once.

        Raises:
            LedgerError: nobody can tell.
        """
        token = request.cookies.get(COOKIE, "")
        if not token or len(token) > _LONGEST_NAME:
            return None
        now = milliseconds(self._clock.now())
        found = await self._ledger.read(lambda connection: console.session(connection, token, now))
        role = self._role(found) if found is not None else None
        return Visitor(found.name, role, _csrf(token)) if found is not None and role is not None else None

    def _role(self, found: console.Session) -> Literal["operator", "viewer"] | None:
        user, terms = self._users().get(found.name), self._terms()
        if user is not None and passwords.fingerprint(user.password) == found.password:
            return user.role
        return terms.role_behind(found.password) if terms is not None else None

    async def log_in(self, request: web.Request, name: str, password: str) -> str | Refused:
        """Return the token of a new session, or that it was refused.

        Raises:
            LedgerError: it can't be kept.
        """
        caller = peer(request, self._trusted)
        name, user = name[:_LONGEST_NAME], self._users().get(name)
        guess = await self._guesses.count(name, caller)
        if guess.suspected:
            return await self._log_in_slowly(name, user, password, caller)
        known = name if user is not None else "-"  # what was typed may be a password
        if guess.wait:
            log.warning("console.locked_out", user=known, address=caller.address)
            return Refused(math.ceil(guess.wait / 60_000))
        async with self._hashing:
            fits = await _fits(password, user)
        if not fits or user is None:
            log.warning("console.login_failed", user=known, address=caller.address)
            return Refused()
        return await self.let_in(name, passwords.fingerprint(user.password), caller, _LASTS, guess.forgiven)

    async def _log_in_slowly(self, name: str, user: User | None, password: str, caller: Peer) -> str | Refused:
        """Judge one from a suspected address. Whatever is wrong takes as long and is told in the same words."""
        known = name if user is not None else "-"
        async with self._guesses.turn(caller) as turn:
            if turn is None:
                log.warning("console.locked_out", user=known, address=caller.address)
                return Refused(LOCKED, slowed=True)
            guess = await self._guesses.count_suspected(name, caller) if user is not None else None
            async with self._hashing_suspected:
                fits = await _fits(password, user if guess is not None and not guess.wait else None)
            if not fits or user is None or guess is None:
                log.warning("console.login_failed", user=known, address=caller.address, suspected=True)
                await turn.fails()
                return Refused(LOCKED, slowed=True)
        return await self.let_in(name, passwords.fingerprint(user.password), caller, _LASTS, guess.forgiven)

    async def let_in(self, name: str, proof: str, caller: Peer, lasts: int, forgiven: Callable[[Unit], None]) -> str:
        """Return the token of a new session of somebody who has proven who they are.

        Args:
            name: by which they are recorded.
            proof: fingerprint of what the session stands on.
            caller: where they are.
            lasts: milliseconds.
            forgiven: takes the try back that did not fail, in the same transaction.

        Raises:
            LedgerError: it can't be kept.
        """
        token, now = secrets.token_urlsafe(32), milliseconds(self._clock.now())

        def work(unit: Unit) -> None:
            forgiven(unit)
            console.keep(unit, token, name, proof, now, now + lasts)
            repairs.record(unit, name, "login", "", f"from {caller.address}", now)

        await self._ledger.aside(work)
        log.info("console.login", user=name, address=caller.address)
        return token

    async def log_out(self, request: web.Request) -> None:
        """End the session. Idempotent.

        Raises:
            LedgerError: it could not be ended.
        """
        token = request.cookies.get(COOKIE, "")
        await self._ledger.aside(lambda unit: console.end(unit, token))

    def set_cookie(
        self,
        request: web.Request,
        response: web.Response,
        name: str,
        value: str,
        *,
        seconds: int = _HOURS * 3_600,
        path: str = PATH,
        https: bool = False,
    ) -> None:
        """Hand a cookie out; with no value, take it back. ``https``: this browser surely came by HTTPS."""
        secure = https or self._https or peer(request, self._trusted).https
        if value:
            # Lax: a link in a chat leads to the page and not to a login, and who comes back from a provider is known;
            # nothing is changed by following a link.
            response.set_cookie(name, value, path=path, max_age=seconds, httponly=True, samesite="Lax", secure=secure)
        else:
            response.del_cookie(name, path=path, httponly=True, samesite="Lax", secure=secure)


def is_ours(request: web.Request, expected: str, said: str) -> bool:
    """Say whether a form was shown by us, to whoever sends it: it holds the token, and no other site made the browser send it."""
    same = bool(expected) and hmac.compare_digest(expected.encode(), said.encode("utf-8", "replace"))
    return same and is_own_page(request)


def is_own_page(request: web.Request) -> bool:
    """Say whether it was no other site that made the browser send this."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")


def _csrf(token: str) -> str:
    return hmac.new(token.encode("utf-8", "replace"), b"form", hashlib.sha256).hexdigest()


async def _fits(password: str, user: User | None) -> bool:
    usable = len(password) <= passwords.LONGEST
    return await passwords.fits(password if usable else "", user.password if user and usable else None)
