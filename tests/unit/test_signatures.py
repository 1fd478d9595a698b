"""Signatures: any byte counts, several keys and several signatures are tried, and time has a window."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.kit.signatures import any_same, fresh, same, signed_with

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def _hex(key: bytes, message: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(key, message, algorithm).hexdigest()


def test_one_of_several_keys_and_signatures_is_enough():
    """While a secret is rotated, the sender may sign with either, or with both."""
    good = _hex(b"new", b"body")
    assert signed_with([b"old", b"new"], b"body", ["00" * 32, good])
    assert not signed_with([b"old"], b"body", [good])
    assert not signed_with([b"new"], b"body", [])
    assert not signed_with([], b"body", [good])


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_algorithms_and_encodings(algorithm):
    """Hex in either case, but not in both; base64 as it stands."""
    good = _hex(b"key", b"body", algorithm)
    assert signed_with([b"key"], b"body", [good], algorithm=algorithm)
    assert signed_with([b"key"], b"body", [good.upper()], algorithm=algorithm)
    encoded = base64.b64encode(bytes.fromhex(good)).decode()
    assert signed_with([b"key"], b"body", [encoded], algorithm=algorithm, encoding="base64")
    assert not signed_with([b"key"], b"body", [good], algorithm=algorithm, encoding="base64")


@given(st.binary(max_size=60), st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_of_the_body_is_noticed(body, place, flip):
    """Wherever it stands."""
    assume(body)
    changed = bytearray(body)
    changed[place % len(body)] ^= flip
    assert not signed_with([b"key"], bytes(changed), [_hex(b"key", body)])


@given(st.sampled_from(["hex", "base64"]), st.integers(min_value=0), st.characters())
def test_any_changed_character_of_the_signature_is_noticed(encoding, place, character):
    """Also in the last one of base64, whose spare bits decode to the same bytes."""
    digest = hmac.new(b"key", b"body", hashlib.sha256).digest()
    good = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    place %= len(good)
    assume(good[place] != character)
    changed = good[:place] + character + good[place + 1 :]
    assert not signed_with([b"key"], b"body", [changed], encoding=encoding)


def test_the_replay_window():
    """Old ones are refused, and so are those from further ahead than clocks differ."""
    assert fresh(NOW - timedelta(seconds=300), NOW, window=300)
    assert not fresh(NOW - timedelta(seconds=301), NOW, window=300)
    assert fresh(NOW + timedelta(seconds=60), NOW, window=300)
    assert not fresh(NOW + timedelta(seconds=61), NOW, window=300)


def test_half_a_surrogate_pair_is_a_wrong_key():
    """And no crash."""
    assert not same("\ud800", "key")
    assert not any_same(None, ["key"])
