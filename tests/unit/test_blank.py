"""What of a body is kept: no credential field, whatever form it has and whatever its header says of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from bridge.contract.inbound import InboundEvent
from bridge.intake.blank import stored_body

FIELDS = frozenset({"secret", "api_key"})
KINDS = ["", "application/x-www-form-urlencoded", "application/json", "text/plain", "text/xml", "multipart/form-data"]


def kept(body: bytes, kind: str) -> str:
    headers = {"content-type": kind} if kind else {}
    event = InboundEvent("POST", "/in/x", headers, {}, body, datetime(2026, 1, 1, tzinfo=UTC))
    return stored_body(event, FIELDS, ())[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body",
    [
        b"event=x&secret=hush&a%5Bb%5D=c",
        b"%73ecret=hush&a=b",
        b"secret=hush",
        b'{"secret": "hush", "a": "b=c"}',
        b'\xef\xbb\xbf{"a": {"secret": "hush"}, "b": "c=d"}',
        b"<a><secret>hush</secret><b>c=d</b></a>",
        b"<a><s:secret x='1'><![CDATA[hush]]></s:secret></a>",
        b"<a><secret>no<![CDATA[ ]] > ]hush]]>hush</secret></a>",
    ],
)
def test_a_credential_field_is_blanked(body: bytes, kind: str) -> None:
    """An adapter that finds the secret in it is not asked what the header says."""
    assert "hush" not in kept(body, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body", [b"a=b&c=d&a%5Bsecret%5D=", b'{"a": "b"}', b"<a>b&amp;c=d</a>", b"--x\r\nname=a\r\n", b"plain", b""]
)
def test_anything_else_is_kept_as_it_came(body: bytes, kind: str) -> None:
    """Byte for byte."""
    assert kept(body, kind) == body.decode()


def test_a_body_full_of_openings_is_looked_through_once() -> None:
    """A megabyte of them, and nobody else is held up: counted in the process's own time."""
    started = time.process_time()
    kept(b"<secret><![CDATA[" * 60_000, "text/xml")
    assert time.process_time() - started < 5
