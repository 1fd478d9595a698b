"""A digest of a table that two databases agree on, in whatever order each gives its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

_BYTES = 16
_LIMIT = 1 << 8 * _BYTES


@dataclass(frozen=True, slots=True)
class Sum:
    """How many rows, and the digest of them in hexadecimal."""

    rows: int
    digest: str


class Digest:
    """The sum of the rows' BLAKE2 hashes: databases sort texts differently, and a sum asks for no order.

    Unlike the exclusive or of the hashes, it does not overlook a row that is there twice.
    """

    def __init__(self) -> None:
        """Begin with no rows."""
        self.rows = 0
        self._sum = 0

    def add(self, row: Sequence[Any]) -> None:
        """Take in a row: numbers, texts, truth values, bytes and nothing."""
        text = orjson.dumps(row, default=_hexadecimal)
        self._sum = (self._sum + int.from_bytes(hashlib.blake2b(text, digest_size=_BYTES).digest())) % _LIMIT
        self.rows += 1

    def sum(self) -> Sum:
        """Return what was taken in so far."""
        return Sum(self.rows, f"{self._sum:0{2 * _BYTES}x}")


def _hexadecimal(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    raise TypeError(type(value).__name__)
