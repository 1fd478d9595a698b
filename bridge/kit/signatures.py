"""Comparing and deriving secrets without telling how much of them was right."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import Literal


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


def signed_with(
    keys: Iterable[bytes],
    message: bytes,
    presented: Iterable[str],
    *,
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256",
    encoding: Literal["hex", "base64"] = "hex",
) -> bool:
    """Say whether one of the presented signatures is the HMAC of ``message`` under one of the keys.

    Every pair is compared as text, in constant time each: decoded, several spellings of base64 would be one signature.
    Hex may be in lower or in upper case, not in both.
    """
    given = [text.lower() if encoding == "hex" and text == text.upper() else text for text in presented]
    found = False
    for key in keys:
        digest = hmac.digest(key, message, algorithm)
        expected = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
        for text in given:
            found |= same(text, expected)
    return found


def fresh(signed_at: datetime, now: datetime, *, window: float, ahead: float = 60.0) -> bool:
    """Say whether a signature's time is within the replay window: seconds of age, and of a sender's clock that is ahead."""
    return -ahead <= (now - signed_at).total_seconds() <= window


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # half a surrogate pair is a wrong key, not a crash
