"""What a provider publishes, kept for a while: many who log in at once ask it once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from bridge.edge.openid import ProviderFault
from bridge.kit.clock import Clock

T = TypeVar("T")

_KEEP: Final = 3_600.0  # seconds
_AGAIN: Final = 30.0  # seconds between two times that it is asked anew because what is kept lacks something
_PAUSE: Final = 2.0  # seconds for which a failure counts for everybody: the login page is open to the world


class Kept(Generic[T]):
    """One thing that a provider publishes."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], clock: Clock) -> None:
        """Get it by ``fetch``, which may raise :class:`ProviderFault`, when it is first asked for."""
        self._fetch = fetch
        self._clock = clock
        self._turn = asyncio.Lock()
        self._found: tuple[T, float] | None = None
        self._failed: tuple[str, float] | None = None
        self._renewed: float | None = None

    async def get(self, *, newer: bool = False) -> T:
        """Return it. ``newer``: what is kept lacks something, so ask anew, unless that was done a moment ago.

        Raises:
            ProviderFault: it can't be had.
        """
        async with self._turn:
            now = self._clock.monotonic()
            renew = newer and (self._renewed is None or now - self._renewed >= _AGAIN)
            if self._found is not None and not renew and now - self._found[1] < _KEEP:
                return self._found[0]
            if self._failed is not None and now - self._failed[1] < _PAUSE:
                raise ProviderFault(self._failed[0])
            self._renewed = now if renew else self._renewed
            try:
                found = await self._fetch()
            except ProviderFault as fault:
                self._failed = str(fault), self._clock.monotonic()
                raise
            self._found, self._failed = (found, now), None
            return found
