"""Alerts by mail, through the mail server of the notices."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
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

_SECONDS = 10.0  # for each answer of the server


class Mail:
    """Mail to one or several addresses: one message for all that is due."""

    name = "mail"

    def __init__(self, settings: MailSettings, to: Sequence[str], clock: Clock) -> None:
        """Send through ``settings`` to these addresses; ``clock`` gives the date."""
        self._settings = settings
        self._to = to
        self._clock = clock
        self._sender = split_address(settings.sender)[1]
        self._tls = ssl.create_default_context()

    async def tell(self, news: Sequence[News]) -> list[str | None]:
        """Send one mail to each address; it is told when one of them was taken."""
        mail = self._message(news).as_bytes(policy=SMTP)
        outcomes = [await self._sent(mail, address) for address in self._to]
        taken = any(isinstance(outcome, Receipt) for outcome in outcomes)
        why = None if taken else mask_text(str(getattr(outcomes[0], "why", "the mail server did not take it")))
        return [why] * len(news)

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
