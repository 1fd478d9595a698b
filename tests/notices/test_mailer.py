"""The mailer's connector against a real mail server on loopback: what is sent, and what each answer comes to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from bridge.contract.command import Learner
from bridge.contract.mail import MailSettings, Notice
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refused, TryLater, Work
from bridge.contract.settings import Rate
from bridge.dispatch.attempt import deliver
from bridge.kit.clock import SetClock
from bridge.kit.http import Exchange, Windows
from bridge.notices.mailer import Mailer
from bridge.notices.templates import Templates
from tests.notices.server import MailServer, mail_server

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DATA = {"courses": [{"title": "Ethics", "url": "https://school.example.org/ethics"}], "product_url": None}


def mailer(server: MailServer, *, deadline: float = 10.0, timeout: float = 5.0, **settings: Any) -> Mailer:
    given = MailSettings.model_validate({"url": server.url, "sender": "Courses <courses@example.org>", **settings})
    clock = SetClock(NOW)
    return Mailer(
        given,
        Templates.read(given.templates),
        Windows([Rate(100, 1.0)], clock),
        clock,
        public_url="https://bridge.example.org",
        timeout=timeout,
        deadline=deadline,
    )


def work(recipient: str = "ada@example.org", kind: str = "access", **learner: str) -> Work:
    person = {
        "email": recipient or None,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "remote_user_id": "7",
        **learner,
    }
    notice = Notice(5, kind, recipient, 7, "shop", "1001", NOW - timedelta(hours=1), DATA)
    return Work(1, "bridge-notice-5", Operation.NOTICE, "notice:5", Learner.model_validate(person), notice=notice)


async def sent(connector: Mailer, what: Work, story: list[Exchange] | None = None) -> Any:
    (outcome,) = await deliver(connector, [what], 12.0, [] if story is None else story)
    return outcome


async def test_a_notice_is_one_mail_with_the_headers_of_an_automatic_one() -> None:
    """A mail carries sender, recipient, subject, date, an id of its own and the mark of an automatic mail."""
    async with mail_server() as server:
        outcome = await sent(mailer(server), work())
        assert outcome == Receipt(note="250 2.0.0 queued as 1")
        envelope, mail = server.taken[0]
    assert (envelope.mail_from, envelope.rcpt_tos) == ("courses@example.org", ["ada@example.org"])
    assert mail["From"] == "Courses <courses@example.org>"
    assert mail["To"] == "Ada Lovelace <ada@example.org>"
    assert mail["Subject"] == "You have access to Ethics"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == NOW
    assert mail["Message-ID"].startswith("<notice-5-")
    assert mail["Message-ID"].endswith("@bridge.example.org>")
    assert "https://school.example.org/ethics" in mail.get_content()


async def test_the_message_id_is_the_same_on_every_try() -> None:
    """A notice that is sent twice has one Message-ID, by which a server or a person can tell."""
    async with mail_server() as server:
        for _ in range(2):
            await sent(mailer(server), work())
        assert len({mail["Message-ID"] for mail in server.mails}) == 1


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        ({"greeting": "421 too busy"}, TryLater, "puts it off (connect)"),
        ({"greeting": "554 go away"}, NeedsOperator, "does not deal with us"),
        ({"MAIL": "451 later"}, TryLater, "puts it off (sender)"),
        ({"MAIL": "553 not yours"}, NeedsOperator, "as this sender"),
        ({"MAIL": "530 log in first"}, NeedsOperator, "user and password"),
        ({"RCPT": "450 greylisted"}, TryLater, "puts it off (recipient)"),
        ({"RCPT": "550 no such user"}, Refused, "does not take this recipient"),
        ({"RCPT": "drop"}, TryLater, "can't be spoken to (recipient)"),
        ({"DATA": "452 disk full"}, TryLater, "puts it off (dot)"),
        ({"DATA": "554 spam"}, Refused, "does not take the mail itself"),
    ],
)
async def test_each_answer_has_its_outcome(says: dict[str, str], kind: type, words: str) -> None:
    """A server's answer decides who acts: nobody, the operator for this mail, or the operator for the whole lane."""
    async with mail_server() as server:
        server.says = says
        outcome = await sent(mailer(server), work())
    assert isinstance(outcome, kind), outcome
    assert words in outcome.why
    if isinstance(outcome, TryLater):
        assert outcome.applied == "no"
    if isinstance(outcome, NeedsOperator):
        assert outcome.scope == "lane"
    assert not server.taken


async def test_a_connection_lost_after_the_mail_leaves_unknown_whether_it_goes_out() -> None:
    """Once the whole mail is written, a lost answer is an unknown one."""
    async with mail_server() as server:
        server.says = {"DATA": "drop"}
        outcome = await sent(mailer(server), work())
    assert isinstance(outcome, TryLater)
    assert outcome.applied == "unknown"


async def test_an_answer_to_the_whole_mail_that_is_neither_yes_nor_no_is_unknown() -> None:
    """A server that asks for more when it has everything may have taken the mail, which is not sent twice."""
    async with mail_server() as server:
        server.says = {"DATA": "354 go on"}
        outcome = await sent(mailer(server), work())
    assert isinstance(outcome, TryLater)
    assert outcome.applied == "unknown"


async def test_no_answer_to_the_whole_mail_is_unknown_before_the_deadline_strikes() -> None:
    """A server that takes a mail and says nothing is given its time, and the outcome is unknown."""
    async with mail_server() as server:
        server.waits = asyncio.Event()
        outcome = await sent(mailer(server, timeout=0.3), work())
        server.waits.set()
    assert isinstance(outcome, TryLater)
    assert outcome.applied == "unknown"
    assert "whole mail" in outcome.why


async def test_a_server_that_never_greets_is_tried_later() -> None:
    """Silence before the mail is written means that it was not sent."""

    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    quiet = await asyncio.start_server(silent, "127.0.0.1", 0)
    server = MailServer(port=quiet.sockets[0].getsockname()[1])
    try:
        outcome = await sent(mailer(server, timeout=0.3), work())
    finally:
        await gone.wait()
        quiet.close()
    assert isinstance(outcome, TryLater)
    assert (outcome.applied, outcome.cause) == ("no", "outage")


async def test_nobody_listening_is_an_outage() -> None:
    """A refused connection is tried later and has sent nothing."""
    async with mail_server() as server:
        pass
    outcome = await sent(mailer(server), work())
    assert isinstance(outcome, TryLater)
    assert (outcome.applied, outcome.cause) == ("no", "outage")


async def test_garbage_for_a_greeting_is_an_outage() -> None:
    """Something else that listens on the port is not taken for a mail server."""
    gone = asyncio.Event()

    async def web(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()
        gone.set()

    other = await asyncio.start_server(web, "127.0.0.1", 0)
    server = MailServer(port=other.sockets[0].getsockname()[1])
    try:
        outcome = await sent(mailer(server), work())
    finally:
        await gone.wait()
        other.close()
    assert isinstance(outcome, TryLater)
    assert outcome.applied == "no"


async def test_the_right_password_logs_in_wherever_it_stands() -> None:
    """User and password may stand in the address or in keys of their own."""
    async with mail_server(login=("bridge", "hunter22")) as server:
        assert isinstance(await sent(mailer(server, user="bridge", password="hunter22"), work()), Receipt)
        url = f"smtp://bridge:hunter22@127.0.0.1:{server.port}"
        assert isinstance(await sent(mailer(server, url=url), work()), Receipt)


async def test_a_wrong_password_stops_the_lane() -> None:
    """A refused login is the operator's, for the whole lane, and the reason does not repeat the password."""
    async with mail_server(login=("bridge", "hunter22")) as server:
        outcome = await sent(mailer(server, user="bridge", password="hunter23"), work())
    assert isinstance(outcome, NeedsOperator)
    assert outcome.scope == "lane"
    assert "hunter" not in outcome.why


async def test_required_encryption_that_is_not_offered_stops_the_lane() -> None:
    """With starttls = required nothing is said in clear."""
    async with mail_server() as server:
        outcome = await sent(mailer(server, starttls="required"), work())
    assert isinstance(outcome, NeedsOperator)
    assert (outcome.scope, server.taken) == ("lane", [])


async def test_an_international_mailbox_needs_a_server_that_can() -> None:
    """A mailbox outside ASCII goes out by SMTPUTF8, and is refused in clear words where the server has none."""
    async with mail_server() as server:
        assert isinstance(await sent(mailer(server), work("jörg@müller.example")), Receipt)
        assert server.taken[0][0].rcpt_tos == ["jörg@xn--mller-kva.example"]
    async with mail_server(utf8=False) as server:
        outcome = await sent(mailer(server), work("jörg@müller.example"))
    assert isinstance(outcome, Refused)
    assert "SMTPUTF8" in outcome.why


async def test_an_international_domain_needs_nothing() -> None:
    """A domain outside ASCII is sent as punycode to any server."""
    async with mail_server(utf8=False) as server:
        assert isinstance(await sent(mailer(server), work("ada@müller.example")), Receipt)
        assert server.taken[0][0].rcpt_tos == ["ada@xn--mller-kva.example"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "a b@example.org",
        "a@ex ample.org",
        'a"@example.org',
        "a@b\r\nRCPT TO:<c@d>",
        "=?utf-8?q?=0AB=3Ax?=@b.org",
        "a@.b",
    ],
)
async def test_what_is_no_address_is_refused_without_a_connection(address: str) -> None:
    """An address that no mail can go to is the operator's, and no server is troubled with it."""
    async with mail_server() as server:
        outcome = await sent(mailer(server), work(address, email="real@example.org"))
        assert isinstance(outcome, Refused)
        assert server.connections == 0


async def test_a_name_can_add_no_header() -> None:
    """Line ends and control characters in a name stay a name."""
    async with mail_server() as server:
        hostile = "Ada\r\nBcc: eve@example.org\r\n\r\nHi\x00\x1b[2J"
        assert isinstance(await sent(mailer(server), work(first_name=hostile)), Receipt)
        envelope, mail = server.taken[0]
    assert mail["Bcc"] is None
    assert envelope.rcpt_tos == ["ada@example.org"]
    assert mail["To"].addresses[0].addr_spec == "ada@example.org"
    assert "\x1b" not in mail.get_content()


@pytest.mark.parametrize("hidden", ["=?utf-8?q?=0D=0ABcc=3A_eve=40example.org?=", "=?utf-8?b?DQoNClBheSBoZXJl?="])
async def test_what_is_encoded_in_a_name_or_a_subject_is_not_decoded(tmp_path: Path, hidden: str) -> None:
    """Line ends written as an encoded word add neither a header nor a text: whoever claims a seat may call themselves so."""
    (tmp_path / "access.txt").write_text("Subject: Welcome {{ learner.last_name }}\n\nHello\n")
    async with mail_server() as server:
        connector = mailer(server, templates=tmp_path)
        await sent(connector, work(first_name="Ada", last_name=f"L {hidden}"))
        (mail,) = server.mails
    headers = {name.lower() for name in mail}
    assert "bcc" not in headers
    assert {"subject", "date", "message-id"} <= headers
    assert mail.get_content().strip() == "Hello"
    assert [found.addr_spec for found in mail["To"].addresses] == ["ada@example.org"]


async def test_letters_of_any_language_arrive() -> None:
    """Names, titles and texts outside ASCII arrive whole, through a server that knows only ASCII."""
    async with mail_server(utf8=False) as server:
        await sent(mailer(server, sender="Ünï Kürse <courses@example.org>"), work(first_name="Zoë", last_name="Łukasz"))
        envelope, mail = server.taken[0]
    assert envelope.content.isascii()
    assert mail["From"] == "Ünï Kürse <courses@example.org>"
    assert mail["To"] == "Zoë Łukasz <ada@example.org>"
    assert "Hello Zoë," in mail.get_content()


async def test_lines_that_begin_with_a_dot_arrive_whole() -> None:
    """A dot at the start of a line neither ends the mail nor gets lost."""
    async with mail_server() as server:
        notice = Notice(
            5, "cancelled_user", "ada@example.org", 7, "shop", "", NOW, {"courses": [], "explanation": ".\n.two\nend"}
        )
        one = Work(1, "k", Operation.NOTICE, "notice:5", Learner(email="ada@example.org"), notice=notice)
        await sent(mailer(server), one)
        parsed = BytesParser(policy=policy.default).parsebytes(server.taken[0][0].content)
    assert "\n.\n.two\nend\n" in parsed.get_content().replace("\r\n", "\n")


async def test_the_story_of_an_attempt_has_neither_address_nor_text() -> None:
    """What is kept of an attempt names the server and the kind of the notice, and nothing of the person."""
    story: list[Exchange] = []
    async with mail_server() as server:
        server.says = {"RCPT": "550 <ADDRESS> is unknown here"}
        outcome = await sent(mailer(server), work(), story)
    (exchange,) = story
    assert (exchange.method, exchange.url) == ("MAIL", server.url)
    assert exchange.sent["notice"] == "access"
    kept = f"{exchange.sent} {exchange.answer}"
    assert "ada@example.org" not in kept
    assert "Ethics" not in kept
    assert isinstance(outcome, Refused)


async def test_a_check_logs_in_and_sends_nothing() -> None:
    """The probe of a paused lane, and the doctor's, connects and logs in; no mail goes out."""
    async with mail_server(login=("bridge", "hunter22")) as server:
        assert await mailer(server, user="bridge", password="hunter22").check() == Receipt(
            note="logged in, not encrypted"
        )
        assert isinstance(await mailer(server, user="bridge", password="wrong").check(), NeedsOperator)
        assert (server.taken, server.arrived) == ([], 0)


async def test_data_that_a_template_does_not_find_is_the_operators() -> None:
    """A notice whose data was emptied is not sent half, and says which template fails at which line."""
    async with mail_server() as server:
        notice = Notice(5, "access", "ada@example.org", 7, "shop", "", NOW, {})
        one = Work(1, "k", Operation.NOTICE, "notice:5", Learner(email="ada@example.org"), notice=notice)
        outcome = await sent(mailer(server), one)
    assert isinstance(outcome, NeedsOperator)
    assert "access.txt:1" in outcome.why
    assert outcome.scope == "delivery"
