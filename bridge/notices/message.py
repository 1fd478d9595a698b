"""From a notice to the bytes of a mail, by Python's own rules for headers (RFC 5322, 2047, 6532)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import idna

from bridge.contract.command import Learner
from bridge.contract.mail import Notice
from bridge.kit.clock import milliseconds
from bridge.notices.templates import Text

_PLAIN = SMTP.clone(cte_type="7bit")  # every server takes it, whatever it offers
_INTERNATIONAL = _PLAIN.clone(utf8=True)
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")
_LONGEST_NAME = 100  # characters of a name beside an address


class NoAddress(ValueError):
    """No mail can be sent there; the message says why and does not repeat the address."""


def envelope(address: str) -> tuple[str, bool]:
    """Return an address as the mail server takes it, and whether that needs SMTPUTF8 because of what stands before the ``@``.

    Raises:
        NoAddress: it is none.
    """
    local, _, domain = address.strip().rpartition("@")
    if not (local and domain):
        raise NoAddress(
            "there is no e-mail address" if not address.strip() else "what stands there is no e-mail address"
        )
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise NoAddress("no mail domain can be called so") from None
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f.:IPv]+\]", domain):
        raise NoAddress("no mail domain can be called so")
    spoken = not local.isascii()
    if (
        "=?" in local
        or any(not sign.isprintable() or sign in ' "(),:;<>@[\\]' for sign in local)
        or not (spoken or _LOCAL.fullmatch(local))
    ):
        raise NoAddress("no mailbox can be called so")
    return f"{local}@{domain}", spoken


def values(notice: Notice, learner: Learner) -> dict[str, Any]:
    """Return what a notice's template may use."""
    name = " ".join(part for part in (learner.first_name, learner.last_name) if part)
    return {
        **notice.data,
        "learner": {
            "first_name": learner.first_name,
            "last_name": learner.last_name,
            "name": name,
            "email": learner.email or "",
        },
        "recipient": notice.recipient,
        "registration_id": notice.registration_id,
        "order_number": notice.order_number,
        "source": notice.source,
    }


def message_id(notice: Notice, host: str) -> str:
    """Return the id of a notice's mail, the same on every try: a server that was sent it twice can tell."""
    return f"<notice-{notice.id}-{milliseconds(notice.created_at):x}@{host}>"


def compose(
    notice: Notice, text: Text, *, sender: tuple[str, str], recipient: tuple[str, str], host: str, now: datetime
) -> bytes:
    """Return the mail. ``sender`` and ``recipient``: name, perhaps empty, and address as in the envelope."""
    spoken = not (sender[1].isascii() and recipient[1].isascii())
    policy = _INTERNATIONAL if spoken else _PLAIN
    mail = EmailMessage(policy=policy)
    for header, (name, address) in {"From": sender, "To": recipient}.items():
        local, _, domain = address.rpartition("@")
        mail[header] = Address(_name(name), local, domain)
    mail["Subject"] = _literal(text.subject)
    mail["Date"] = now
    mail["Message-ID"] = message_id(notice, host)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text.plain, cte=_encoding(text.plain))
    if text.html is not None:
        mail.add_alternative(text.html, subtype="html", cte="quoted-printable")
    return mail.as_bytes()


def told(text: Text) -> Mapping[str, str]:
    """Return a mail as a rehearsal shows it."""
    return {"subject": text.subject, "text": text.plain, **({"html": text.html} if text.html is not None else {})}


def _name(name: str) -> str:
    """Return a name that fits beside an address: one line of printable characters."""
    return _literal(" ".join("".join(sign if sign.isprintable() else " " for sign in name).split())[:_LONGEST_NAME])


def _literal(text: str) -> str:
    """Return a text that means itself in a header: encoded words (RFC 2047) in it would be decoded, line ends and all."""
    return text.replace("=?", "= ?")


def _encoding(text: str) -> str:
    short = all(len(line) < 900 for line in text.split("\n"))
    return "7bit" if text.isascii() and short else "quoted-printable"
