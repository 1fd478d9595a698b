"""Values that texts in the file stand for: addresses and sizes."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SIZE = re.compile(r"(\d+)\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)")
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def http_address(text: str) -> str:
    """Return an http or https address as it is.

    Raises:
        ValueError: for anything else; the message does not repeat it.
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in text):
        raise ValueError('expected an address such as "https://example.org"')
    return text


def in_clear(address: str) -> bool:
    """Say whether what goes to an address can be read on the way: plain http to another machine."""
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname not in _LOOPBACK


def size(text: object) -> object:
    """Read ``"1MiB"`` or ``"500KB"`` as bytes; a plain number is bytes already.

    Raises:
        ValueError: for anything else; the message shows the expected form.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    if isinstance(text, str) and (match := _SIZE.fullmatch(text.strip())):
        return int(match[1]) * _BYTES[match[2]]
    raise ValueError('expected a size such as "1MiB" or "500KB"')
