"""A mail server on loopback whose every answer can be set."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class MailServer:
    """Takes mails, or does with them what a test wants.

    Attributes:
        taken: the mails that were taken, with their envelopes.
        says: stage (``greeting``, ``MAIL``, ``RCPT``, ``DATA``) -> the answer in place of yes; ``drop`` ends the connection.
        waits: an event that the answer to a whole mail waits for.
    """

    def __init__(
        self,
        *,
        login: tuple[str, str] | None = None,
        utf8: bool = True,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.taken: list[tuple[Envelope, EmailMessage]] = []
        self.says: dict[str, str] = {}
        self.waits: asyncio.Event | None = None
        self.arrived = 0
        self.connections = 0
        self.port = port
        self._login = login
        self._utf8 = utf8
        self._starttls = starttls
        self._tls = tls
        self._host = host
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{'smtp' if self._tls is None else 'smtps'}://{self._host}:{self.port}"

    @property
    def mails(self) -> list[EmailMessage]:
        return [mail for _, mail in self.taken]

    async def start(self) -> None:
        """Listen on the port that was asked for, else on any."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, self._host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def _protocol(self) -> SMTP:
        self.connections += 1
        how: dict[str, Any] = {}
        if self._login is not None:
            how = {"authenticator": self._checked, "auth_required": True, "auth_require_tls": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a password is taken in clear is what some tests want
            return SMTP(
                self,
                hostname="mail.example.org",
                enable_SMTPUTF8=self._utf8,
                loop=asyncio.get_running_loop(),
                tls_context=self._starttls,
                **how,
            )

    def _checked(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and self._login == (data.login.decode(), data.password.decode())
        return AuthResult(success=good, handled=good)

    async def handle_EHLO(  # noqa: N802 - aiosmtpd names it
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ):
        session.host_name = hostname
        if "greeting" in self.says:
            return [self._answer(server, "greeting")]
        return responses

    async def handle_MAIL(self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]):  # noqa: N802 - aiosmtpd names it
        if "MAIL" in self.says:
            return self._answer(server, "MAIL")
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]):  # noqa: N802 - aiosmtpd names it
        if "RCPT" in self.says:
            return self._answer(server, "RCPT").replace("ADDRESS", address)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope):  # noqa: N802 - aiosmtpd names it
        self.arrived += 1
        if self.waits is not None:
            await self.waits.wait()
        if "DATA" in self.says:
            return self._answer(server, "DATA")
        self.taken.append((envelope, message_from_bytes(envelope.content, policy=policy.default)))
        return f"250 2.0.0 queued as {len(self.taken)}"

    def _answer(self, server: SMTP, stage: str) -> str:
        said = self.says[stage]
        if said == "drop":
            server.transport.abort()
            return "421 gone"
        return said


@asynccontextmanager
async def mail_server(**how: Any) -> AsyncIterator[MailServer]:
    server = MailServer(**how)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
