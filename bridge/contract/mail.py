"""Notices: mails that no target sends. What they are called, what one is, and what the operator says of the mail server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.headerregistry import Address
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from bridge.contract.command import Email
from bridge.contract.settings import Duration, RateLimit, SettingsModel

MAILER: Final = "mailer"
"""The lane of notices, beside those of the targets: no target may be called so."""

_PORTS = {"smtp": 587, "smtps": 465}


class NoticeKind(StrEnum):
    """What a notice tells, and the name of its template."""

    ACCESS = "access"
    CANCELLED_USER = "cancelled_user"
    CANCELLED_ADMIN = "cancelled_admin"
    SEATS = "seats"


@dataclass(frozen=True, slots=True)
class Notice:
    """One mail to one person.

    Attributes:
        id: in the ledger; the same on every try.
        recipient: the address; empty where none is known any more.
        created_at: when it was planned, UTC.
        data: what its template may use besides ``learner``, ``recipient``, ``registration_id``, ``order_number`` and ``source``.
    """

    id: int
    kind: str
    recipient: str
    registration_id: int
    source: str
    order_number: str
    created_at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in _PORTS and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in text):
        raise ValueError('expected "smtp://host:port" or "smtps://host:port"')
    return text


def _sender(text: str) -> str:
    split_address(text)
    return text


def split_address(text: str) -> tuple[str, str]:
    """Split ``courses@example.org`` or ``Courses <courses@example.org>`` into the name, perhaps empty, and the address.

    Raises:
        ValueError: it is neither; the message does not repeat it.
    """
    name, opened, rest = text.strip().partition("<")
    address = rest.removesuffix(">") if opened else name
    if opened and not rest.endswith(">"):
        address = ""
    try:
        found = Address(addr_spec=address.strip())
    except Exception:  # noqa: BLE001 - the parser fails in many ways at what is no address
        found = Address()
    if not (found.username and found.domain) or not text.isprintable():
        raise ValueError('expected an address such as "courses@example.org" or "Courses <courses@example.org>"')
    return (name.strip().strip('"') if opened else "", address.strip())


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


class MailSettings(SettingsModel):
    """``[mailer]``: for notices that no target sends.

    Attributes:
        url: of the mail server, ``smtp://host`` (port 587) or ``smtps://host`` (465); it may hold user and password and is
            therefore left out of ``repr``.
        sender: address that the notices come from; ``Courses <courses@example.org>`` gives it a name.
        admin: who is told the text that a sender has for the administrator, beside whom the sender names; one or a list.
        user: to log in with; default: what the address holds, else nobody logs in.
        password: belongs to ``user``.
        starttls: whether a plain connection becomes an encrypted one: where the server offers it, always, or never.
        timeout: of each answer of the server; default: ``[dispatch] request_timeout``.
        rate_limit: windows that all hold at once, in mails.
        concurrency: mails under way at once.
        templates: folder with texts of your own, by file: ``access.txt``, ``access.html`` and so on.
        drop: notices are given up: none is planned, and what is open ends unsent.
    """

    url: Annotated[str, AfterValidator(_url)] = Field(repr=False)
    sender: Annotated[str, Field(min_length=1), AfterValidator(_sender)]
    admin: Annotated[tuple[Email, ...], BeforeValidator(_several)] = ()
    user: str = ""
    password: SecretStr | None = None
    starttls: Literal["auto", "required", "never"] = "auto"
    timeout: Duration = timedelta(seconds=10)
    rate_limit: Annotated[tuple[RateLimit, ...], BeforeValidator(_several)] = ()
    concurrency: int = Field(default=2, ge=1, le=64)
    templates: Path | None = None
    drop: bool = False

    @property
    def server(self) -> tuple[str, int, bool]:
        """Host, port, and whether the connection is encrypted from its first byte."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or _PORTS[parts.scheme], parts.scheme == "smtps"

    @property
    def login(self) -> tuple[str, str] | None:
        """User and password, or None where nobody logs in."""
        parts = urlsplit(self.url)
        user = self.user or unquote(parts.username or "")
        password = self.password.get_secret_value() if self.password is not None else unquote(parts.password or "")
        return (user, password) if user else None
