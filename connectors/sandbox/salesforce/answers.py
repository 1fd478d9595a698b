"""How Salesforce says no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web


class Refusal(Exception):
    """An answer of the API that is not a success: one member of its error array."""

    def __init__(self, status: int, code: str, message: str, fields: Sequence[str] = (), **more: Any) -> None:
        """Keep what is to be said."""
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.fields = list(fields)
        self.more = more

    def answer(self) -> web.Response:
        """Say it as a single call does."""
        member: dict[str, Any] = {**self.more, "message": self.message, "errorCode": self.code}
        return web.json_response([member | ({"fields": self.fields} if self.fields else {})], status=self.status)

    def result(self) -> dict[str, Any]:
        """Say it as a collections call does, where the key is ``statusCode``."""
        error = {"statusCode": self.code, "message": self.message, "fields": self.fields}
        return {"success": False, "errors": [error]}


class Several(Exception):
    """The external id stands on several records."""


def missing() -> Refusal:
    """Return the answer to an address that leads nowhere."""
    return Refusal(404, "NOT_FOUND", "The requested resource does not exist")
