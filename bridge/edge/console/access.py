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
_WINDOW: Final = 15 * 60_000  # milliseconds
_MOST_OF_ONE: Final = 5  # failures of one name from one address
_MOST_OF_ADDRESS: Final = 20  # of whatever names from one address
_MOST_OF_NAME: Final = 100  # of one name from wherever: many addresses guess together
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
    """A login that did not succeed; ``minutes`` for which nobody may try there, 0 when it was just wrong."""

    minutes: int = 0


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
        self._hashing = asyncio.Semaphore(2)  # each takes 64 MiB and a core for a while, for whoever asks

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
        caller, now = peer(request, self._trusted), milliseconds(self._clock.now())
        name, user = name[:_LONGEST_NAME], self._users().get(name)
        most = _counted(name, caller)
        wait = await self._ledger.aside(lambda unit: console.guess(unit, most, now, _WINDOW))
        known = name if user is not None else "-"  # what was typed may be a password
        if wait:
            log.warning("console.locked_out", user=known, address=caller.address)
            return Refused(math.ceil(wait / 60_000))
        usable = len(password) <= passwords.LONGEST
        async with self._hashing:
            fits = await passwords.fits(password if usable else "", user.password if user and usable else None)
        if not fits:
            log.warning("console.login_failed", user=known, address=caller.address)
            return Refused()
        assert user is not None  # noqa: S101 - nobody's password fits nobody
        own, *others = most

        def forgiven(unit: Unit) -> None:
            console.forgive(unit, own)
            console.succeeded(unit, others)

        return await self.let_in(name, passwords.fingerprint(user.password), caller, _LASTS, forgiven)

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


def _counted(name: str, caller: Peer) -> dict[str, int]:
    """Return how many may fail by whom it counts for; the one that a login forgives comes first."""
    network = caller.network
    return {
        console.digest("both", name, network): _MOST_OF_ONE,
        console.digest("address", network): _MOST_OF_ADDRESS,
        console.digest("name", name): _MOST_OF_NAME,
    }
