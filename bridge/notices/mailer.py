"""The mailer's connector: a notice is filled in, made a mail, and handed to a mail server, once.

A mail has no key by which a server would know it again, so a repeat is unsafe: what is unknown goes to the operator.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import idna

from bridge.contract.mail import MailSettings, split_address
from bridge.contract.outbound import Explanation, Finding, Operation, Outcome, Receipt, Repeat, TryLater, Work
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.clock import Clock
from bridge.kit.http import Exchange, Limiter, exchanges
from bridge.kit.masking import mask_text
from bridge.notices.answers import ERRORS
from bridge.notices.message import NoAddress, compose, envelope, told, values
from bridge.notices.smtp import Stopped, conversation, faults, hand_over
from bridge.notices.templates import TemplateFault, Templates, Text

_SPARE = 1.0  # seconds between the end of a mail and the deadline of its attempt


class Mailer:
    """Sends notices. Settings, course and stage are there because a lane asks every connector for them."""

    Settings: ClassVar[type[TargetSettings]] = TargetSettings
    Course: ClassVar[type[CourseTable] | None] = None
    needs_table: ClassVar[bool] = False
    stage: ClassVar[Literal["lms", "crm"]] = "crm"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {Operation.NOTICE: Repeat.UNSAFE}
    batch_size: ClassVar[int] = 1
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(10, 1.0),)
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(
        self,
        settings: MailSettings,
        templates: Templates,
        limiter: Limiter,
        clock: Clock,
        *,
        public_url: str | None,
        timeout: float,
        deadline: float,
    ) -> None:
        """Send as ``settings`` say; no network yet.

        Args:
            settings: of ``[mailer]``.
            templates: the texts.
            limiter: hands out one token a mail.
            clock: for the date.
            public_url: where the bridge is known; the sender's domain where it is not.
            timeout: seconds for each answer of the server.
            deadline: seconds that dispatch gives to the whole attempt; every wait of ours ends before it.
        """
        self._settings = settings
        self._templates = templates
        self._limiter = limiter
        self._clock = clock
        name, address = split_address(settings.sender)
        self._sender = (name, envelope(address)[0])
        self._host = _ascii(urlsplit(public_url or "").hostname or self._sender[1].rpartition("@")[2])
        self._timeout = max(0.1, min(timeout, (deadline - _SPARE) / 2))
        self._before = max(0.1, deadline - _SPARE - self._timeout)

    @classmethod
    def course_for(cls, table: Any, remote_product_id: str) -> CourseTable:  # noqa: ARG003 - the contract's
        """No course is known by a mail server."""
        return CourseTable()

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Send each notice of the batch; one outcome per piece."""
        return [await self._send(work) for work in batch]

    async def check(self) -> Outcome:
        """Connect, encrypt, log in, and do nothing."""
        try:
            async with asyncio.timeout(self._before):
                async with conversation(self._settings, self._host, self._timeout, self._tls) as client:
                    with faults("connect"):
                        await client.noop()
                    encrypted = client.get_transport_info("sslcontext") is not None
        except Stopped as stopped:
            return stopped.outcome
        except TimeoutError:
            return TryLater(f"no answer within {self._before:g} s", cause="outage")
        logged_in = "logged in" if self._settings.login else "without a login"
        return Receipt(note=f"{logged_in}, {'encrypted' if encrypted else 'not encrypted'}")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:  # noqa: ARG002 - the contract's
        """Look at the templates; there is nothing to fix."""
        return [Finding("template", ok=False, said=said, remedy="Mend the file.") for said in self._templates.faults()]

    async def _send(self, work: Work) -> Outcome:
        notice = work.notice
        assert notice is not None  # noqa: S101 - the contract of a notice
        try:
            recipient, spoken = envelope(notice.recipient)
            text = self._templates.render(notice.kind, values(notice, work.learner))
        except NoAddress as fault:
            return ERRORS["address"].refused(str(fault))
        except (TemplateFault, KeyError) as fault:
            return ERRORS["template"].needs_operator(mask_text(f"template {fault}"))
        name = f"{work.learner.first_name} {work.learner.last_name}" if notice.recipient == work.learner.email else ""
        await self._limiter.take()
        try:
            return await self._posted(work, (name, recipient), text, spoken=spoken or not self._sender[1].isascii())
        finally:
            self._limiter.answered()

    async def _posted(self, work: Work, recipient: tuple[str, str], text: Text, *, spoken: bool) -> Outcome:
        assert work.notice is not None  # noqa: S101 - as above
        mail = compose(
            work.notice, text, sender=self._sender, recipient=recipient, host=self._host, now=self._clock.now()
        )
        exchange = Exchange("MAIL", self._address, {"notice": work.notice.kind, "bytes": len(mail)})
        if (story := exchanges.get()) is not None:
            story.append(exchange)
        began = self._clock.monotonic()
        outcome = await self._conversed(recipient[1], mail, spoken=spoken)
        exchange.ms = int((self._clock.monotonic() - began) * 1000)
        if isinstance(outcome, Receipt):
            exchange.status, exchange.answer = int(outcome.note[:3]), mask_text(outcome.note[4:])
        else:
            exchange.answer = mask_text(getattr(outcome, "why", ""))
        return outcome

    async def _conversed(self, recipient: str, mail: bytes, *, spoken: bool) -> Outcome:
        """Return what came of it; a time-out before the whole mail is written has sent nothing."""
        outcome: Outcome | None = None
        reached_data = False
        try:
            async with asyncio.timeout(self._before) as limit:
                async with conversation(self._settings, self._host, self._timeout, self._tls) as client:

                    def no_way_back() -> None:
                        nonlocal reached_data
                        reached_data = True
                        limit.reschedule(None)  # from here on each wait has a limit of its own

                    outcome = await hand_over(
                        client, self._sender[1], recipient, mail, spoken=spoken, no_way_back=no_way_back
                    )
        except Stopped as stopped:
            return outcome or stopped.outcome
        except TimeoutError:
            applied: Literal["no", "unknown"] = "unknown" if reached_data else "no"
            return outcome or TryLater(f"not finished within {self._before:g} s", applied=applied, cause="outage")
        return outcome

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    @property
    def _address(self) -> str:
        name, port, encrypted = self._settings.server
        return f"{'smtps' if encrypted else 'smtp'}://{name}:{port}"


class Shown(Mailer):
    """Sends nothing: what would be sent is noted, for a rehearsal."""

    async def check(self) -> Outcome:
        """There is nothing to be asked."""
        return Receipt(note="not asked")

    async def _posted(self, work: Work, recipient: tuple[str, str], text: Text, *, spoken: bool) -> Outcome:  # noqa: ARG002 - as the real one
        if (story := exchanges.get()) is not None:
            story.append(
                Exchange("MAIL", self._address, {"to": recipient[1], **told(text)}, status=250, answer="not sent")
            )
        return Receipt(note="a rehearsal sends nothing")


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        return "localhost"
