"""Whatever bytes a sender sends, the event is kept, credentials are not, and the same thing is found again."""

from __future__ import annotations

import base64
import random

import orjson
import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner, Order
from bridge.kit.masking import BLANK
from bridge.ledger.events import body_bytes
from tests.ledger.rig import AMS, World, buy, cancel, line, request, update

SECRET = "s3cr3t-and-nobody-else-s"


async def stored(world: World) -> bytes:
    row = (await world.rows("SELECT body, encoding FROM event ORDER BY id DESC LIMIT 1"))[0]
    return body_bytes(row.body, row.encoding)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00 not text",
        b"a\0b",
        "ünïcödé ✓".encode(),
        b'{"n": 1.50, "n": 2}',
        b"a=1&a=2&b=%zz",
        b"<x a='=1'/>",
    ],
)
async def test_a_body_without_credentials_is_kept_byte_for_byte(world: World, body: bytes):
    """Also where it is no text at all."""
    await world.accept(buy("INTRO"), event=request(body))
    assert await stored(world) == body


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", orjson.dumps({"api_key": SECRET, "a": [{"b": {"api_key": SECRET}}]})),
        ("", b' {"api_key": "' + SECRET.encode() + b'"}'),
        ("application/json", b'{"\\u0061pi_key": "' + SECRET.encode() + b'"}'),
        ("application/json", b'{"api_key": "' + SECRET.encode() + b'", broken'),
        ("application/json", b'{"api_key": "' + SECRET.encode() + b'", "a": ' + b"[" * 600 + b"]" * 600 + b"}"),
        ("application/x-www-form-urlencoded", b"a=1&api_key=" + SECRET.encode() + b"&b=\xff"),
        ("application/x-www-form-urlencoded", b"a=1&api%5Fkey=" + SECRET.encode()),
        ("", b"api_key=" + SECRET.encode()),
        ("text/plain;charset=UTF-8", b"a=1&api_key=" + SECRET.encode()),
        ("text/xml", b'<s:E><x:api_key a="1">' + SECRET.encode() + b"</x:api_key></s:E>"),
        ("multipart/form-data; boundary=x", b'--x\r\n{"api_key": "' + SECRET.encode() + b'"}'),
    ],
)
async def test_credentials_are_blank_in_what_is_kept(world: World, kind: str, body: bytes):
    """At every depth, in every form, also where the body is broken."""
    event = request(body, headers={"content-type": kind} if kind else {}, query={"api_key": SECRET})
    await world.accept(buy("INTRO"), event=event)
    row = (await world.rows("SELECT * FROM event"))[0]
    assert SECRET not in str(row)
    assert base64.b64encode(SECRET.encode()).decode()[:12] not in str(row)
    assert orjson.loads(row.query) == {"api_key": BLANK}


async def test_headers_and_paths_that_are_no_text_are_kept_as_far_as_they_go(world: World):
    """A server hands on what was no UTF-8 as half a surrogate pair; no database takes that."""
    event = request(path="/in/\udcff", headers={"x-kept": "caf\udce9", "x-other": "no"}, query={"q\udcff": "\udcfe"})
    assert (await world.accept(buy("INTRO"), event=event)).kind == "accepted"
    row = (await world.rows("SELECT path, headers, query FROM event"))[0]
    assert (row.path, orjson.loads(row.headers), orjson.loads(row.query)) == ("/in/?", {"x-kept": "caf?"}, {"q?": "?"})


async def test_nul_characters_are_left_out_and_the_purchase_is_found_again(world: World):
    """PostgreSQL's text can't hold them: keys, names and products lose them everywhere alike."""
    who = Learner(remote_user_id="a\0da", email="ada@example.org", first_name="A\0da", attributes={"k\0": "v\0"})
    order = {"order": "o\0-1", "event_key": "e\0-1"}
    first = await world.accept(buy(line("INT\0RO", "l\0"), who=who, **order))
    again = await world.accept(buy(line("INT\0RO", "l\0"), who=who, **order))
    assert [found.registration_id for found in first.lines] == [found.registration_id for found in again.lines]
    assert again.lines[0].repeat
    row = (await world.rows("SELECT remote_user_id, first_name, attributes FROM learner"))[0]
    assert tuple(row) == ("ada", "Ada", '{"k":"v"}')
    assert (await world.accept(cancel(business_key="o\0-1"))).lines[0].state == "cancelled"


async def test_nul_characters_of_an_unmapped_line_do_no_harm(world: World):
    """It waits in quarantine like any other."""
    for _ in range(2):
        assert (await world.accept(buy("N\0EW"), source=AMS)).kind == "unmapped"
    assert await world.rows("SELECT remote_product_id, seen FROM quarantine") == [("NEW", 2)]


async def test_a_key_of_nothing_but_nul_is_refused(world: World):
    """The call is kept, and the sender is told."""
    reception = await world.accept(buy("INTRO", event_key="\0"))
    assert (reception.kind, list(reception.faults)) == ("invalid", ["body"])
    assert await world.rows("SELECT state FROM event") == [("refused",)]


async def test_text_that_looks_like_statements_stays_text(world: World):
    """Values travel as parameters."""
    nasty = "'); DROP TABLE event; -- :now {rows} %s $1 \\ \""
    who = Learner(remote_user_id=nasty, email="x@example.org", first_name=nasty, attributes={nasty: nasty})
    await world.accept(buy(nasty, "INTRO", who=who, order=nasty, event_key=nasty))
    await world.accept(update(who.model_copy(update={"last_name": nasty})))
    rows = await world.rows("SELECT remote_user_id, first_name, last_name FROM learner")
    assert rows == [(nasty, nasty, nasty)]
    assert await world.one("SELECT remote_product_id FROM quarantine") == nasty


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 0, 10**40])
async def test_an_id_that_none_can_be_is_not_found(world: World, number: int):
    """No database holds it; whoever asks to cancel it is told so, and not to come again."""
    assert (await world.accept(cancel(registration_id=number))).kind == "not_found"


LONG = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=500))


async def test_the_longest_ids_of_a_purchase_are_kept_and_longer_ones_are_not_understood(world: World):
    """An index of PostgreSQL's takes no more than a third of a page: refused there, a sender would come again for ever."""
    ids = {"number": LONG, "transaction_id": LONG, "subscription_id": LONG}
    bought = buy(line("INTRO", LONG), order=LONG, event_key=LONG).model_copy(update={"order": Order(**ids)})
    assert (await world.accept(bought)).kind == "accepted"
    for given in ids:
        with pytest.raises(ValidationError):
            Order(**{given: LONG + "x"})
    with pytest.raises(ValidationError):
        line("INTRO", LONG + "x")
