"""Alerts by mail, through the mail server of the notices."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from bridge.contract.mail import MailSettings, split_address
from bridge.contract.outbound import Outcome, Receipt
from bridge.jobs.alerts.channels import lines, subject
from bridge.jobs.alerts.telling import News
from bridge.kit.clock import Clock
from bridge.kit.masking import mask_text
from bridge.notices.smtp import Stopped, conversation, hand_over

_SECONDS = 30.0  # for each answer of the server: many let a stranger wait before the first one
_ENOUGH = 40.0  # for all addresses


class Mail:
    """Mail to one or several addresses: one message for all that is due."""

    name = "mail"

    def __init__(self, settings: MailSettings, to: Sequence[str], clock: Clock, enough: float = _ENOUGH) -> None:
        """Send through ``settings`` to these addresses, for ``enough`` seconds in all; ``clock`` gives the date."""
        self._enough = enough
        self._settings = settings
        self._to = to
        self._clock = clock
        self._sender = split_address(settings.sender)[1]
        self._tls = ssl.create_default_context()

    async def tell(self, news: Sequence[News]) -> list[str | None]:
        """Send one mail to each address; it is told when one of them was taken, however long the others take."""
        mail = self._message(news).as_bytes(policy=SMTP)
        outcomes: list[Outcome] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._enough):
                for address in self._to:
                    outcomes.append(await self._sent(mail, address))  # noqa: PERF401 - what was sent before the time is up counts
        if any(isinstance(outcome, Receipt) for outcome in outcomes):
            return [None] * len(news)
        why = mask_text(str(getattr(outcomes[0], "why", ""))) if outcomes else ""
        return [why or f"the mail server did not take it within {self._enough:g} s"] * len(news)

    async def _sent(self, mail: bytes, address: str) -> Outcome:
        host = self._sender.rpartition("@")[2]
        try:
            async with conversation(self._settings, host, _SECONDS, self._tls) as client:
                spoken = not (self._sender + address).isascii()
                return await hand_over(client, self._sender, address, mail, spoken=spoken, no_way_back=lambda: None)
        except Stopped as stopped:
            return stopped.outcome

    def _message(self, news: Sequence[News]) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._settings.sender
        mail["To"] = ", ".join(self._to)
        mail["Subject"] = subject(news)
        mail["Date"] = format_datetime(self._clock.now())
        mail["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content("\n\n".join(lines(news)) + "\n", cte="quoted-printable")
        return mail
