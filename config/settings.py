"""The bridge's own settings, section by section. Sources, targets and course tables belong to their connectors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from bridge.contract.mail import MailSettings
from bridge.contract.settings import (
    CourseTable,
    Duration,
    Secrets,
    SettingsModel,
    SourceSettings,
    TargetSettings,
    duration,
)
from config.alerts import Alerts
from config.openid import OpenID
from config.values import http_address, size

_SHORTEST_TOKEN = 32
_LEAST_KEPT = timedelta(days=7)  # what digests, the console's charts and late answers of targets look back to, and more
_LEDGERS = ("sqlite", "postgresql", "postgres")


def _positive(span: timedelta) -> timedelta:
    if span <= timedelta(0):
        raise ValueError("expected more than 0 seconds")
    return span


def _kept(value: object) -> object:
    if value is None or value == "off":
        return None
    try:
        span = duration(value)
    except ValueError:
        raise ValueError('expected a duration such as "400d", or "off"') from None
    if isinstance(span, timedelta) and span < _LEAST_KEPT:
        raise ValueError(f'expected {_LEAST_KEPT.days} days at least, or "off"')
    return span


def _network(text: object) -> object:
    if isinstance(text, IPv4Network | IPv6Network):
        return text
    try:
        return ip_network(text if isinstance(text, str) else "", strict=False)
    except ValueError:
        raise ValueError('expected an address or a network, such as "10.0.0.0/8"') from None


def _ledger_url(text: str) -> str:
    if text.partition(":")[0] not in _LEDGERS or "://" not in text:
        raise ValueError('expected "sqlite:///path/to/bridge.db" or "postgresql://..."')
    return text


def _password_hash(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().startswith("$argon2id$"):
        raise ValueError("expected an argon2id hash, made by `bridge console add-user`")
    return secret


def _long(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(len(secret.get_secret_value()) < _SHORTEST_TOKEN for secret in secrets):
        raise ValueError(f"expected {_SHORTEST_TOKEN} characters at least, such as `openssl rand -hex 32` prints")
    return secrets


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("expected a SHA-256 in hex: 64 digits, such as `printf %s TOKEN | sha256sum` prints")
    return text.lower()


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Span = Annotated[Duration, AfterValidator(_positive)]
Kept = Annotated[timedelta | None, BeforeValidator(_kept)]
"""An age of a week at least; None, written ``"off"``: for good."""
Port = Annotated[int, Field(ge=0, le=65_535)]
HttpAddress = Annotated[str, AfterValidator(http_address)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Name = Annotated[str, Field(min_length=1)]
Digest = Annotated[str, AfterValidator(_digest)]


class Server(SettingsModel):
    """``[server]``: where senders and operators reach us.

    Attributes:
        host: address to listen on; ``0.0.0.0`` for all of the machine's.
        port: 0 lets the system choose.
        public_url: how the world sees this address, for links in notices and answers.
        trusted_proxies: networks whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed.
        max_body: largest body that is read, in bytes or as in ``"1MiB"``.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: HttpAddress | None = None
    trusted_proxies: tuple[Network, ...] = ()
    max_body: Annotated[int, BeforeValidator(size), Field(gt=0)] = 2**20


class Ledger(SettingsModel):
    """``[ledger]``: what we remember, and how long.

    Attributes:
        url: of the database; it may hold a password and is therefore left out of ``repr``.
        keep_events: age at which what a sender wrote is emptied; the story of the purchase stays.
        keep_attempts: age at which the attempts of settled deliveries are removed, with what was sent and came back; of those
            that gave access or took it away, a line stays.
        keep_deliveries: age at which settled deliveries are removed, with their attempts; those that gave access or took it
            away, and those that an operator acted on, stay.
        keep_lookups: age at which answered lookups are removed, once their event is emptied.
        keep_alerts: age at which alerts that are over are removed.
        keep_actions: age at which the record of what operators did is removed; not set is ``"off"``.
    """

    url: Annotated[str, AfterValidator(_ledger_url)] = Field(default="sqlite:///var/bridge.db", repr=False)
    keep_events: Span = timedelta(days=400)
    keep_attempts: Kept = timedelta(days=400)
    keep_deliveries: Kept = timedelta(days=400)
    keep_lookups: Kept = timedelta(days=400)
    keep_alerts: Kept = timedelta(days=400)
    keep_actions: Kept = None


class Dispatch(SettingsModel):
    """``[dispatch]``: how long and how often a delivery is tried (docs/flow.md).

    Attributes:
        max_age: age, counted over attempts really made, at which a delivery becomes a dead letter.
        retry: pauses between attempts; the last one repeats.
        jitter: share by which a pause is lengthened or shortened at random.
        deadline: of one ``deliver`` call; shorter than the lease, so that a late answer still finds its delivery ours.
        lease: for how long a claimed delivery is a process's own; it is renewed while the process lives.
        request_timeout: of one HTTP request, to a target that has no ``timeout`` of its own.
        retry_after_max: the longest ``Retry-After`` that is obeyed.
        breaker_failures: outages in a row that open a lane's breaker.
        breaker_probe: pause before the first probe of an open breaker; doubles up to ``breaker_probe_max``.
        breaker_probe_max: the longest pause between two probes.
    """

    max_age: Span = timedelta(days=3)
    retry: tuple[Span, ...] = Field(
        default=tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200)), min_length=1
    )
    jitter: float = Field(default=0.2, ge=0, lt=1)
    deadline: Span = timedelta(seconds=25)
    request_timeout: Span = timedelta(seconds=10)
    lease: Span = timedelta(seconds=30)
    retry_after_max: Span = timedelta(hours=1)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_probe: Span = timedelta(seconds=5)
    breaker_probe_max: Span = timedelta(minutes=5)

    @model_validator(mode="after")
    def _ends_before_the_lease(self) -> Self:
        if self.deadline >= self.lease:
            raise ValueError(
                f"expected deadline ({_seconds(self.deadline)}) to be shorter than lease ({_seconds(self.lease)})"
            )
        return self


class Log(SettingsModel):
    """``[log]``: what is written to standard error, and how.

    Attributes:
        level: the least that is written.
        format: ``json`` for machines, one object a line; ``console`` for people.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Telemetry(SettingsModel):
    """``[telemetry]``: what others are told of the bridge at work.

    Attributes:
        traces: send a span for each request and each attempt by OTLP; needs the extra ``otel``, set up by ``OTEL_*`` variables.
    """

    traces: bool = False


class ApiToken(SettingsModel):
    """``[admin.tokens.NAME]``: a program that may call the admin API.

    Attributes:
        token: what it sends as bearer token, 32 characters at least; one, or several while they rotate.
        sha256: in the token's place, its SHA-256 in hex; one or several.
        role: a viewer changes nothing.
    """

    token: Annotated[Secrets, AfterValidator(_long)] = ()
    sha256: Annotated[tuple[Digest, ...], BeforeValidator(_several)] = ()
    role: Literal["operator", "viewer"] = "viewer"

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if bool(self.token) is bool(self.sha256):
            raise ValueError("expected token or sha256")
        return self


class Admin(SettingsModel):
    """``[admin]``: a listener of its own for console, admin API and metrics; without a port they share the server's.

    Attributes:
        host: address that listener is on.
        port: of that listener; console and ``/metrics`` are then only there.
        openid: logging in to the console at a provider that the company has anyway.
    """

    host: str = "127.0.0.1"
    port: Port | None = None
    tokens: Mapping[str, ApiToken] = Field(default_factory=dict)
    openid: OpenID | None = None

    def console_url(self, public_url: str | None) -> str | None:
        """Return how browsers reach the console, without a slash behind it; None where nobody said.

        The server's ``public_url`` says nothing of a listener of its own.
        """
        said = self.openid.console_url if self.openid is not None else None
        return said or (public_url.rstrip("/") if public_url is not None and self.port is None else None)


class ConsoleUser(SettingsModel):
    """``[console.users.NAME]``: somebody who may log in.

    Attributes:
        password: argon2id hash, made by ``bridge console add-user``.
        role: a viewer changes nothing.
    """

    password: Annotated[SecretStr, AfterValidator(_password_hash)]
    role: Literal["operator", "viewer"] = "viewer"


class Console(SettingsModel):
    """``[console]``: who may log in.

    Attributes:
        users: login name -> password and role.
    """

    users: Mapping[str, ConsoleUser] = Field(default_factory=dict)


class Mailer(MailSettings):
    """``[mailer]``: for notices that no target sends."""


class Access(SettingsModel):
    """``access`` of a course: how long somebody is in.

    Attributes:
        duration: from the purchase on; not set is without end.
        until: the last day of access for everybody, in UTC; the earlier of the two ends counts. Who buys after it gets in all
            the same, for the duration or without end.
        full_access: everything at once, where a target can release content bit by bit.
        grace: how much longer access stays after its end.
    """

    duration: Span | None = None
    until: date | None = None
    full_access: bool = False
    grace: Duration = timedelta(0)


class Course(SettingsModel):
    """``[courses.NAME]``: what a learner gets into.

    Attributes:
        title: for notices and CRM fields; default: the course's name.
        product_url: where the learner finds the course.
        access: how long whoever buys it is in.
        registration_url: where ``/go/{course}`` leads.
        tables: target name -> what that target needs to know of the course.
    """

    title: str
    product_url: HttpAddress | None = None
    registration_url: HttpAddress | None = None
    access: Access = Access()
    tables: Mapping[str, CourseTable] = Field(default_factory=dict)


COURSE_KEYS = frozenset(Course.model_fields) - {"tables"}
"""A course's own keys; every other key of its table is the name of a target."""


class Product(SettingsModel):
    """``[[products]]``: what a source sells, and what that opens.

    Attributes:
        source: the sources that sell it; one may be written without a list.
        remote_product_id: what they call it; a whole number is taken as its text.
        courses: several are a bundle.
        product_url: where the learner finds what was bought; default: the first course's.
        ignore: a product that opens nothing, kept out of quarantine.
        seats: who gets what when several are bought: the named learner the first and links for the others, links for all of
            them, or the named learner alone, where the quantity is no number of people.
    """

    source: Annotated[tuple[Name, ...], BeforeValidator(_several), Field(min_length=1)]
    remote_product_id: Annotated[Name, BeforeValidator(_number_as_text)]
    courses: tuple[Name, ...] = ()
    product_url: HttpAddress | None = None
    ignore: bool = False
    seats: Literal["first", "links", "none"] = "first"

    @model_validator(mode="after")
    def _opens_something_or_is_ignored(self) -> Self:
        if not self.courses and not self.ignore:
            raise ValueError("expected courses, or ignore = true")
        if self.courses and self.ignore:
            raise ValueError("expected courses or ignore = true, not both")
        return self


class Settings(SettingsModel):
    """Everything the operator wrote, with every reference replaced and every default filled in.

    Attributes:
        sources: name -> settings, of the class that its adapter declares.
        targets: name -> settings, of the class that its connector declares.
    """

    server: Server = Server()
    ledger: Ledger = Ledger()
    dispatch: Dispatch = Dispatch()
    log: Log = Log()
    telemetry: Telemetry = Telemetry()
    admin: Admin = Admin()
    console: Console = Console()
    mailer: Mailer | None = None
    alerts: Alerts = Alerts()
    sources: Mapping[str, SourceSettings] = Field(default_factory=dict)
    targets: Mapping[str, TargetSettings] = Field(default_factory=dict)
    courses: Mapping[str, Course] = Field(default_factory=dict)
    products: tuple[Product, ...] = ()

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Names only: a connector's plain text field may hold a secret that came by reference, such as in an address.
        yield "sources", sorted(self.sources)
        yield "targets", sorted(self.targets)
        yield "courses", sorted(self.courses)
        yield "products", len(self.products)


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():g}s"
