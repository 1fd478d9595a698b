"""Passwords of the console's users: argon2id, with the parameters that the library recommends."""

from __future__ import annotations

import asyncio
import hashlib
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST: Final = 12
"""Characters: a shorter password is guessed."""

LONGEST: Final = 1_024
_HASHER: Final = PasswordHasher()


def hashed(password: str) -> str:
    """Return the argon2id hash that goes into the configuration."""
    return _HASHER.hash(password)


def fingerprint(password_hash: str) -> str:
    """Return what a session keeps of the hash it began with."""
    return hashlib.sha256(password_hash.encode()).hexdigest()


async def fits(password: str, password_hash: str | None) -> bool:
    """Say whether a password is the one. Where there is no user the answer is no, and takes as long."""
    return await asyncio.to_thread(_verified, password, password_hash) and password_hash is not None


@cache
def _nobodys() -> str:
    return _HASHER.hash("nobody has this password")


def _verified(password: str, password_hash: str | None) -> bool:
    try:
        return _HASHER.verify(password_hash or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False
