"""The lane of notices: what it is made of, from ``[mailer]``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from bridge.contract.catalogue import TargetEntry
from bridge.contract.errors import ConfigError, Fault
from bridge.contract.mail import MAILER, MailSettings
from bridge.contract.outbound import OutboundConnector
from bridge.dispatch.attempt import PatientLimiter
from bridge.kit.clock import Clock
from bridge.kit.http import Windows
from bridge.kit.masking import secrets_of
from bridge.notices.mailer import Mailer
from bridge.notices.message import NoAddress
from bridge.notices.templates import TemplateFault, Templates
from config.settings import Settings

ENTRY = TargetEntry(MAILER, MAILER, "crm", "email", needs_table=False, course_for=Mailer.course_for)
"""The mailer as its lane sees it."""


class MakesMailer(Protocol):
    """Makes the connector of notices: the real one, or one for a rehearsal."""

    def __call__(self, settings: Settings, templates: Templates, clock: Clock) -> OutboundConnector:
        """Return it; no network yet."""


def mailer_of(settings: Settings, templates: Templates, clock: Clock, kind: type[Mailer] = Mailer) -> OutboundConnector:
    """Return the connector that speaks to the mail server of ``[mailer]``.

    Raises:
        ConfigError: no mail can come from the sender's address.
    """
    given = used(settings)
    limiter = PatientLimiter(Windows(given.rate_limit or kind.rate_limit, clock, fixed=bool(given.rate_limit)))
    try:
        return kind(
            given,
            templates,
            limiter,
            clock,
            public_url=settings.server.public_url,
            timeout=timeout(settings),
            deadline=settings.dispatch.deadline.total_seconds(),
        )
    except NoAddress as fault:
        raise ConfigError([Fault("mailer.sender", str(fault))]) from None


def used(settings: Settings) -> MailSettings:
    """Return ``[mailer]``, where there is one."""
    assert settings.mailer is not None  # noqa: S101 - whoever asks has looked
    return settings.mailer


def timeout(settings: Settings) -> float:
    """Return how many seconds one answer may take: by ``[mailer] timeout``, else as ``[dispatch]`` says."""
    given = used(settings)
    own = "timeout" in given.model_fields_set
    return (given.timeout if own else settings.dispatch.request_timeout).total_seconds()


def templates_of(settings: Settings) -> Templates:
    """Read the templates as they are now.

    Raises:
        ConfigError: one of them can't be used.
    """
    try:
        templates = Templates.read(used(settings).templates)
        faults = templates.faults()
    except TemplateFault as fault:
        raise ConfigError([Fault("mailer.templates", str(fault))]) from None
    if faults:
        raise ConfigError([Fault("mailer.templates", said) for said in faults])
    return templates


def secrets(settings: Settings) -> Iterator[str]:
    """Yield what nothing kept or logged may show: the password, wherever it stands."""
    given = used(settings)
    yield from secrets_of(given)
    if given.login is not None:
        yield given.login[1]
