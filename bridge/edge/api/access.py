"""Which program calls, and what it may do: bearer tokens, and the lock-out of whoever guesses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import structlog
from aiohttp import web

from bridge.edge.forwarded import Networks, peer
from bridge.kit.clock import Clock, milliseconds
from bridge.kit.signatures import fingerprint, same
from bridge.ledger import console
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)

_WINDOW: Final = 15 * 60_000  # milliseconds
_MOST_OF_ADDRESS: Final = 20  # wrong tokens from one address
_LONGEST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the configuration says. ``digests``: SHA-256 in hex, several while it rotates."""

    digests: tuple[str, ...] = field(repr=False)
    role: Literal["operator", "viewer"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A program with a token that counts."""

    name: str
    role: Literal["operator", "viewer"]

    @property
    def operates(self) -> bool:
        """Whether it may change anything, and see learners unmasked."""
        return self.role == "operator"

    @property
    def recorded_as(self) -> str:
        """What its actions are recorded under."""
        return f"token {self.name}"


@dataclass(frozen=True, slots=True)
class Turned:
    """Somebody without a token that counts; ``minutes`` for which no token counts from there, 0 when it was just wrong."""

    minutes: int = 0


class Tokens:
    """Lets programs in."""

    def __init__(
        self, ledger: Ledger, tokens: Callable[[], Mapping[str, Token]], trusted: Networks, clock: Clock
    ) -> None:
        """Let the configuration's ``tokens`` of the moment in.

        Args:
            ledger: keeps failures, so that a restart and every other bridge know them.
            tokens: by name.
            trusted: networks of proxies that are believed.
            clock: for the end of a lock-out.
        """
        self._ledger = ledger
        self._tokens = tokens
        self._trusted = trusted
        self._clock = clock

    async def caller(self, request: web.Request) -> Caller | Turned:
        """Return who calls.

        Raises:
            LedgerError: nobody can tell whether it is locked out.
        """
        presented = _presented(request)
        if presented is None:
            return Turned()
        caller, now = peer(request, self._trusted), milliseconds(self._clock.now())
        most = {console.digest("api", caller.network): _MOST_OF_ADDRESS}
        # Before the token is looked at, or whoever is locked out could go on and see which one is right.
        wait = await self._ledger.read(lambda connection: console.locked(connection, most, now, _WINDOW))
        if not wait and (found := self._found(presented)) is not None:
            return found
        wait = wait or await self._ledger.aside(lambda unit: console.guess(unit, most, now, _WINDOW))
        log.warning("api.locked_out" if wait else "api.unauthorised", address=caller.address)
        return Turned(math.ceil(wait / 60_000))

    def _found(self, presented: str) -> Caller | None:
        digest = fingerprint(presented)
        for name, token in self._tokens().items():
            if any([same(digest, kept) for kept in token.digests]):  # noqa: C419 - all are looked at, for the same time
                return Caller(name, token.role)
        return None


def _presented(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip()[:_LONGEST] if scheme.lower() == "bearer" and token.strip() else None
