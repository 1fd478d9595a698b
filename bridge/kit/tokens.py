"""Bearer tokens that are fetched, kept and renewed: one login at a time, never one per request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class TokenKeeper:
    """Keeps one token; concurrent callers share one fetch."""

    def __init__(self, fetch: Callable[[], Awaitable[str]]) -> None:
        """Use ``fetch`` to get a token; what it raises reaches every waiting caller."""
        self._fetch = fetch
        self._token: str | None = None
        self._turn = asyncio.Lock()

    async def token(self) -> str:
        """Return the token, fetching it when there is none."""
        if self._token is not None:
            return self._token
        async with self._turn:
            if self._token is None:
                self._token = await self._fetch()
            return self._token

    async def renewed(self, refused: str) -> str:
        """Return a token other than ``refused``: one that another caller fetched meanwhile, or a new one."""
        async with self._turn:
            if self._token is None or self._token == refused:
                self._token = None
                self._token = await self._fetch()
            return self._token
