"""How a request reaches Mailchimp: with the key, and never more at a time than the target may have."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from bridge.kit.http import Answer, Http
from connectors.outbound.mailchimp.settings import MailchimpSettings


class Api:
    """The requests of one target. Every call of the connector shares its connections."""

    def __init__(self, settings: MailchimpSettings, http: Http) -> None:
        """Speak through ``http``."""
        self._http = http
        self._base = settings.base_url
        self._headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value().strip()}"}
        self._turns = asyncio.Semaphore(settings.concurrency)

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, params: Mapping[str, str] | None = None
    ) -> Answer:
        """Make one request.

        Raises:
            TransportFault: no answer came back.
        """
        async with self._turns:
            return await self._http.send(method, path, json=body, params=params, headers=self._headers)

    async def submit(self, operations: list[dict[str, Any]]) -> Answer:
        """Hand over a batch.

        Its bodies are text within text, where fields can't be told apart for the record: it goes as bytes, of which only
        the number is kept.
        """
        headers = {**self._headers, "Content-Type": "application/json"}
        content = orjson.dumps({"operations": operations})
        async with self._turns:
            return await self._http.send("POST", "/batches", content=content, headers=headers)

    async def fetch(self, url: str) -> Answer:
        """Fetch what an answer pointed to, which lies elsewhere: without our credential."""
        async with self._turns:
            return await self._http.send("GET", url)

    def may_fetch(self, url: object) -> bool:
        """Say whether an address out of an answer is one to ask: by TLS, or at the target itself."""
        if not isinstance(url, str) or not url.isascii() or not url.isprintable():
            return False
        try:
            there, here = urlsplit(url), urlsplit(self._base)
            _ = there.port
        except ValueError:
            return False
        if not there.hostname or "@" in there.netloc:
            return False
        return there.scheme == "https" or (there.scheme, there.netloc) == (here.scheme, here.netloc)
