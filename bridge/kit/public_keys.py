"""Signatures that are checked with a public key; the private one never leaves the sender."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def ed25519_key(raw: bytes) -> Ed25519PublicKey:
    """Return the public key of 32 bytes.

    Raises:
        ValueError: they are no key.
    """
    return Ed25519PublicKey.from_public_bytes(raw)


def ed25519_signed(keys: Iterable[Ed25519PublicKey], message: bytes, presented: Iterable[str]) -> bool:
    """Say whether one of the presented signatures, in base64, is one of ``message`` under one of the keys."""
    signatures = [raw for text in presented if (raw := _decoded(text)) is not None]
    return any(_holds(key, message, signature) for key in keys for signature in signatures)


def _decoded(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Several spellings of base64 decode alike; one signature has one spelling.
    return raw if base64.b64encode(raw).decode() == text else None


def _holds(key: Ed25519PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
