"""What is kept of a body in the record of an exchange: masked, and no more than somebody reads."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.kit.masking import excerpt, mask

LARGEST = 64_000
"""Bytes of a body that are worth parsing for it."""

_EXCERPT = 2_000  # characters
_MEMBERS = 10
_LEVELS = 4


def kept(value: Any, body: bytes) -> Any:
    """Return what is kept of a body: its masked value, or the beginning of it where that is long."""
    if value is not None and len(body) <= LARGEST:
        if len(body) <= _EXCERPT:
            return mask(value)
        return orjson.dumps(mask(_beginning(value))).decode()[:_EXCERPT]
    # Fields that can't be told apart can't be masked, and of an archive nobody reads the beginning.
    if body[:1] in (b"{", b"[") or b"\0" in body[: _EXCERPT * 4]:
        return f"{len(body)} bytes"
    return excerpt(body[: _EXCERPT * 4].decode("utf-8", "replace"), _EXCERPT) if body else None


def _beginning(value: Any, depth: int = 0) -> Any:
    """Return a JSON-like value with the first members of its long lists: of a batch of a hundred, no more is kept anyway."""
    if depth > _LEVELS:
        return value
    if isinstance(value, list):
        shown = [_beginning(item, depth + 1) for item in value[:_MEMBERS]]
        return [*shown, f"and {len(value) - _MEMBERS} more"] if len(value) > _MEMBERS else shown
    if isinstance(value, dict):
        return {key: _beginning(item, depth + 1) for key, item in value.items()}
    return value
