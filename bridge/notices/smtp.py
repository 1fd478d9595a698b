"""One conversation with a mail server, step by step, so that it is known at every fault whether the mail can have gone out."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from bridge.contract.mail import MailSettings
from bridge.contract.outbound import Outcome, Receipt, TryLater
from bridge.notices.answers import ERRORS, Stage, judge, readable

_LINE_ENDS = re.compile(rb"\r\n|\n|\r")
_GOODBYE = 0.5  # seconds for QUIT: the mail is gone by then, and what is said now changes nothing
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Stopped(Exception):
    """The conversation ended before the mail went out."""

    def __init__(self, outcome: Outcome) -> None:
        """Keep what follows from it."""
        self.outcome = outcome
        super().__init__()


@asynccontextmanager
async def conversation(settings: MailSettings, host: str, seconds: float, tls: ssl.SSLContext) -> AsyncIterator[SMTP]:
    """Connect, encrypt and log in; at the end, say goodbye.

    Args:
        settings: whom to speak to.
        host: what we call ourselves.
        seconds: for each answer.
        tls: whose certificates are trusted.

    Raises:
        Stopped: it came to nothing.
    """
    name, port, encrypted = settings.server
    client = SMTP(
        hostname=name,
        port=port,
        use_tls=encrypted,
        start_tls=False,
        timeout=seconds,
        local_hostname=host,
        tls_context=tls,
    )
    try:
        with faults("connect"):
            await client.connect()
            await client.ehlo()
        await _encrypt(client, settings, tls, encrypted=encrypted)
        await _log_in(client, settings, encrypted=encrypted)
        yield client
        with suppress(SMTPException, OSError, TimeoutError):
            await client.quit(timeout=_GOODBYE)
    finally:
        client.close()


async def hand_over(
    client: SMTP, sender: str, recipient: str, mail: bytes, *, spoken: bool, no_way_back: Callable[[], None]
) -> Outcome:
    """Give one mail to the server, up to the dot that ends it, and return what it says to that.

    What fails from the dot on leaves unknown whether the mail goes out.

    Args:
        client: of a conversation.
        sender: address that failures are reported to.
        recipient: one address.
        mail: its bytes.
        spoken: an address is not in ASCII.
        no_way_back: called before the mail itself is written.

    Raises:
        Stopped: the mail was surely not sent.
    """
    encoding = "utf-8" if spoken else "ascii"
    options = ["SMTPUTF8", "BODY=8BITMIME"] if spoken else []
    if spoken and not client.supports_extension("smtputf8"):
        raise Stopped(ERRORS["international"].refused(""))
    with faults("sender"):
        await client.mail(sender, options=options, encoding=encoding)
    with faults("recipient"):
        await client.rcpt(recipient, encoding=encoding)
    with faults("data"):
        answer = await client.execute_command(b"DATA")
        if answer.code != 354:
            raise Stopped(judge("data", answer.code, answer.message))
        protocol = client.protocol
        if protocol is None:
            raise SMTPServerDisconnected("connection lost")
    no_way_back()
    try:
        protocol.write(_ended(mail))
        answer = await protocol.read_response(timeout=client.timeout)
    except (SMTPException, OSError, TimeoutError) as fault:
        said = f"no answer to the whole mail ({type(fault).__name__})"
        return TryLater(said, applied="unknown", cause="outage")
    if 200 <= answer.code < 300:
        return Receipt(note=f"{answer.code} {readable(answer.message)}")
    return judge("dot", answer.code, answer.message)


@contextmanager
def faults(stage: Stage) -> Iterator[None]:
    """Turn what goes wrong in a step into :class:`Stopped`: nothing was sent."""
    try:
        yield
    except (SMTPException, OSError, TimeoutError) as fault:
        raise Stopped(_outcome(stage, fault)) from None


def _outcome(stage: Stage, fault: Exception) -> Outcome:
    for one in (fault, fault.__cause__):
        if isinstance(one, ssl.SSLCertVerificationError):
            return ERRORS["encryption"].needs_operator(one.verify_message or type(one).__name__, "lane")
    if isinstance(fault, SMTPResponseException) and fault.code > 0:
        return judge(stage, fault.code, fault.message)
    return TryLater(f"the mail server can't be spoken to ({stage}): {type(fault).__name__}", cause="outage")


async def _encrypt(client: SMTP, settings: MailSettings, tls: ssl.SSLContext, *, encrypted: bool) -> None:
    offered = client.supports_extension("starttls")
    if encrypted or settings.starttls == "never" or (settings.starttls == "auto" and not offered):
        return
    if not offered:
        raise Stopped(ERRORS["encryption"].needs_operator("it offers no STARTTLS", "lane"))
    with faults("tls"):
        await client.starttls(tls_context=tls)
        await client.ehlo()


async def _log_in(client: SMTP, settings: MailSettings, *, encrypted: bool) -> None:
    if settings.login is None:
        return
    name, _, _ = settings.server
    secure = encrypted or client.get_transport_info("sslcontext") is not None or name in _LOOPBACK
    if not secure and settings.starttls != "never":  # whoever strips STARTTLS from the answer wants the password
        said = 'it offers no STARTTLS, and a password is not sent in clear unless starttls = "never" says so'
        raise Stopped(ERRORS["encryption"].needs_operator(said, "lane"))
    with faults("login"):
        if not client.supported_auth_methods:
            raise Stopped(ERRORS["credentials"].needs_operator("it offers no way to log in", "lane"))
        await client.login(*settings.login)


def _ended(mail: bytes) -> bytes:
    """Return a mail as it goes over the wire: CRLF, leading dots doubled, and the dot that ends it."""
    lines = _LINE_ENDS.split(mail)
    if lines and not lines[-1]:
        lines.pop()
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"
