"""Comparing and deriving secrets without telling how much of them was right."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable


def fingerprint(secret: str) -> str:
    """Return the SHA-256 of a key in hex: how a source is found without keeping its key in an index."""
    return hashlib.sha256(_bytes(secret)).hexdigest()


def same(presented: str, expected: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(_bytes(presented), _bytes(expected))


def any_same(presented: str | None, expected: Iterable[str]) -> bool:
    """Say whether one of the expected secrets was presented; looks at all of them, whichever fits."""
    if presented is None:
        return False
    found = False
    for secret in expected:
        found |= same(presented, secret)
    return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # half a surrogate pair is a wrong key, not a crash
