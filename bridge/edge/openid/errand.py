"""A login that is under way: somebody was sent to the provider, and is expected back in the same browser."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Self

LASTS: Final = 600
"""Seconds for which somebody may take to prove who they are."""

_LONGEST: Final = 500
_AHEAD: Final = (
    60_000  # milliseconds by which the clock of the bridge that began it may be ahead of the one that ends it
)


@dataclass(frozen=True, slots=True)
class Errand:
    """A login that is under way. It is kept by the browser alone, so that any bridge may see its end.

    ``state``, ``nonce`` and the verifier are derived from what the browser keeps: who has not got that can't know them, and
    a time or a way back that was changed fits no state.

    Attributes:
        kept: what the cookie holds.
        issuer: whom they were sent to.
        back: the page that they came from.
    """

    kept: str
    issuer: str
    back: str

    @classmethod
    def start(cls, issuer: str, back: str, now: int) -> Self:
        """Start one at ``now`` (milliseconds)."""
        place = base64.urlsafe_b64encode(back.encode()).decode().rstrip("=")
        return cls(f"{now}.{secrets.token_urlsafe(32)}.{place}", issuer, back)

    @classmethod
    def read(cls, kept: str, issuer: str, now: int) -> Self | None:
        """Return the one that a browser kept, or None where it is none, or took too long."""
        began, _, rest = kept.partition(".")
        token, _, place = rest.partition(".")
        if len(kept) > _LONGEST or len(token) < 43 or not (began.isascii() and began.isdigit()):
            return None
        if not -_AHEAD <= now - int(began) <= LASTS * 1_000:
            return None
        try:
            back = base64.urlsafe_b64decode(place + "=" * (-len(place) % 4)).decode()
        except (binascii.Error, ValueError):
            return None
        return cls(kept, issuer, back)

    @property
    def state(self) -> str:
        """What the provider sends back with the browser."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the provider puts into what it signs."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What proves to the provider that the code is ours to use (RFC 7636)."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier beforehand."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")

    def fits(self, state: str) -> bool:
        """Say whether the browser that comes back is the one that was sent."""
        return hmac.compare_digest(self.state.encode(), state.encode("utf-8", "replace"))

    def _derived(self, what: str) -> str:
        return hmac.new(self.kept.encode(), f"{what} {self.issuer}".encode(), hashlib.sha256).hexdigest()
