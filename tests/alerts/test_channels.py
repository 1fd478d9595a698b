"""The roads to the operator: what goes out, and what is said of a channel that does not take it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from bridge.contract.mail import MailSettings
from bridge.jobs.alerts.channels import lines, subject, tell
from bridge.jobs.alerts.mail import Mail
from bridge.jobs.alerts.telling import News
from bridge.kit.clock import SetClock, SystemClock
from tests.alerts.rig import SECRET, MailServer, receiver

AT = datetime(2026, 11, 26, 7, 30, tzinfo=UTC)


def news(number: int = 1, what: str = "begun", **more) -> News:
    given = {
        "id": f"uid{number}-{what}-1",
        "alert_id": number,
        "what": what,
        "kind": "unmapped",
        "said": f"shop has sold the product 'P{number}' <b>, which leads to no course.",
        "remedy": "Map it & reload.",
        "since": AT,
    }
    return News(**given | more)


@pytest.fixture
async def hook():
    async with receiver() as found:
        yield found


@pytest.fixture
def mail_server():
    server = MailServer()
    server.start()
    yield server
    server.stop()


def mail(server: MailServer, *to: str, enough: float = 20.0) -> Mail:
    settings = MailSettings(url=f"smtp://127.0.0.1:{server.port}", sender="Bridge <bridge@example.org>")
    return Mail(settings, to or ("ops@example.org",), SystemClock(), enough)


async def test_a_webhook_is_signed_as_the_specification_wants_it(hook):
    """The specification's own library takes it, and takes no other body under the same signature."""
    assert await hook.webhook(SystemClock()).tell([news(), news(2, "recovered", until=AT)]) == [None, None]
    reader = Webhook(SECRET)
    told = [
        reader.verify(body, {name.lower(): value for name, value in headers.items()}) for headers, body in hook.taken
    ]
    assert [one["type"] for one in told] == ["alert.begun", "alert.recovered"]
    assert told[0]["data"]["kind"] == "unmapped"
    assert told[0]["timestamp"] == "2026-11-26T07:30:00Z"
    headers, body = hook.taken[0]
    with pytest.raises(WebhookVerificationError):
        reader.verify(body + b" ", {name.lower(): value for name, value in headers.items()})


async def test_a_webhook_that_fails_is_tried_again_under_the_same_id(hook):
    """Once at once, then with the next run; those behind it wait, too."""
    hook.status = 503
    answers = await hook.webhook(SystemClock()).tell([news(1), news(2)])
    assert answers == ["it answered HTTP 503"] * 2
    assert hook.calls == 2
    hook.status = 200
    assert await hook.webhook(SystemClock()).tell([news(1)]) == [None]
    assert hook.taken[0][0]["webhook-id"] == "msg_uid1-begun-1"


async def test_what_a_receiver_answers_is_not_repeated(hook):
    """It may quote a secret."""
    hook.status = 400
    (why,) = await hook.slack(SystemClock()).tell([news()])
    assert why == "it answered HTTP 400"
    assert hook.calls == 1


async def test_redirects_are_not_followed(hook):
    """The address of a Slack webhook is a secret, and the alerts go where the operator said."""
    hook.status = 302
    (why,) = await hook.slack(SystemClock()).tell([news()])
    assert why == "it answered HTTP 302: redirects are not followed"
    assert hook.calls == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("kind", ["slack", "webhook"])
async def test_a_receiver_that_asks_to_be_left_alone_is(hook, kind, status):
    """For as long as it said, and not a second time at once."""
    clock = SetClock(AT)
    channel = getattr(hook, kind)(clock)
    hook.status, hook.headers = status, {"Retry-After": "600"}
    assert await channel.tell([news(1), news(2)]) == [f"it answered HTTP {status}"] * 2
    assert await channel.tell([news(1), news(2)]) == ["it wants to be left alone for 600 s more"] * 2
    assert hook.calls == 1
    clock.move(601)
    hook.status = 200
    assert await channel.tell([news(1), news(2)]) == [None, None]


async def test_a_receiver_that_asks_for_ages_is_tried_after_an_hour(hook):
    """Nobody means a week, and who is on call waits."""
    clock = SetClock(AT)
    channel = hook.slack(clock)
    hook.status, hook.headers = 429, {"Retry-After": "604800"}
    await channel.tell([news()])
    clock.move(3601)
    hook.status = 200
    assert await channel.tell([news()]) == [None]


async def test_what_a_slow_receiver_took_is_not_told_again(hook):
    """Hundreds of alerts, a quarter of a minute each: every run gets on, and the last one is told some day."""
    clock = SetClock(AT)
    hook.meanwhile = lambda: clock.move(15)
    channel = hook.webhook(clock)
    slow = "it is slow: the next run goes on"
    assert await channel.tell([news(1), news(2), news(3), news(4)]) == [None, None, slow, slow]
    assert await channel.tell([news(3), news(4)]) == [None, None]
    assert [body["data"]["said"].split("'")[1] for body in hook.bodies] == ["P1", "P2", "P3", "P4"]


@pytest.mark.parametrize("kind", ["slack", "webhook"])
async def test_an_answer_without_end_is_a_yes(hook, kind):
    """What stands in it is not asked for, and the message is not sent again because of it."""
    hook.endless = True
    assert await getattr(hook, kind)(SystemClock()).tell([news()]) == [None]
    assert hook.calls == 1


async def test_a_receiver_that_never_answers_is_away(hook):
    """Those behind it are not tried."""
    hook.silent, hook.seconds = asyncio.Event(), 0.2
    answers = await hook.webhook(SystemClock()).tell([news(1), news(2)])
    assert answers == ["no answer within the time limit"] * 2
    assert hook.calls == 2
    hook.silent.set()


async def test_slack_gets_one_message_in_which_nothing_is_markup(hook):
    """What a sender calls its product can't address a channel or hide a link."""
    assert await hook.slack(SystemClock()).tell([news(1), news(2, "recovered", until=AT)]) == [None, None]
    (text,) = hook.texts
    assert text.startswith("New: shop has sold the product 'P1' &lt;b&gt;")
    assert "What to do: Map it &amp; reload." in text
    assert "Over (since 2026-11-26 07:30 UTC)" in text


async def test_a_receiver_that_is_away_is_said_without_its_address(hook):
    """A path of a Slack webhook is a secret."""
    url = hook.url
    channel = hook.slack(SystemClock())
    await hook._runner.cleanup()
    (why,) = await channel.tell([news()])
    assert why.startswith("no connection")
    assert url not in why


async def test_mail_goes_to_every_address_in_one_message(mail_server):
    """With a subject that says how much there is to look at."""
    assert await mail(mail_server, "ops@example.org", "boss@example.org").tell([news(1), news(2)]) == [None, None]
    assert [to for to, _ in mail_server.box.mails] == [["ops@example.org"], ["boss@example.org"]]
    _, sent = mail_server.box.mails[0]
    assert sent["Subject"] == "Registration bridge: 2 to look at"
    assert sent["Auto-Submitted"] == "auto-generated"
    assert "What to do: Map it & reload." in sent.get_content()


async def test_one_address_that_is_refused_keeps_no_other_from_the_mail(mail_server):
    """It was told to somebody."""
    mail_server.box.refuses = {"gone@example.org"}
    assert await mail(mail_server, "gone@example.org", "ops@example.org").tell([news()]) == [None]
    mail_server.box.refuses.add("ops@example.org")
    (why,) = await mail(mail_server, "gone@example.org", "ops@example.org").tell([news()])
    assert "550" in why
    assert "gone@example.org" not in why


async def test_an_address_that_is_slow_keeps_no_other_from_the_mail(mail_server):
    """Whoever got it is not told it again and again because of somebody else's mailbox."""
    mail_server.box.ponders = {"slow@example.org"}
    channel = mail(mail_server, "ops@example.org", "slow@example.org", enough=1.0)
    assert await channel.tell([news()]) == [None]
    assert [to for to, _ in mail_server.box.mails] == [["ops@example.org"]]


@pytest.mark.parametrize(
    "said", [b"", b"220-" + b"x" * 400 + b"\r\n", b"x" * 4_096], ids=["nothing", "lines", "a line"]
)
async def test_a_mail_server_that_does_not_come_to_the_point_is_an_answer(said):
    """It says nothing, or never ends."""

    over, left = asyncio.Event(), asyncio.Event()

    async def talk(_reader, writer):
        with suppress(ConnectionError):
            while said and not over.is_set():
                writer.write(said)
                await writer.drain()
            await over.wait()
        writer.transport.abort()
        left.set()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        settings = MailSettings(
            url=f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}", sender="Bridge <bridge@example.org>"
        )
        (why,) = await Mail(settings, ["ops@example.org"], SystemClock(), enough=0.5).tell([news()])
        assert why
        over.set()
        await left.wait()


async def test_a_mail_server_that_is_down_is_said_and_later_takes_it(mail_server):
    """A word about the cause, and no address or password."""
    channel = mail(mail_server)
    mail_server.stop()
    (why,) = await channel.tell([news()])
    assert why.startswith("the mail server can't be spoken to")
    assert "example" not in why
    mail_server.start()
    assert await channel.tell([news()]) == [None]


async def test_a_channel_with_a_defect_is_an_answer():
    """It must not keep the others from being told."""

    class Broken:
        name = "broken"

        async def tell(self, news):
            raise ZeroDivisionError

    assert await tell(Broken(), [news()]) == ["it failed: ZeroDivisionError"]


def test_a_flood_is_counted_not_listed():
    """Hundreds of causes at once are one message that can be read."""
    told = lines([news(n) for n in range(300)])
    assert len(told) == 21
    assert told[-1] == "... and 280 more: bridge alerts"
    assert subject([news(1, "recovered")]) == "Registration bridge: 1 over"


def test_what_is_new_stands_first():
    """The eye falls on it."""
    told = lines([news(1, "recovered", until=AT), news(2)])
    assert told[0].startswith("New")
