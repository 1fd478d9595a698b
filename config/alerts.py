"""``[alerts]``: what the operator is told about without having asked, and by what road."""

from __future__ import annotations

import base64
import binascii
from datetime import time, timedelta
from email.headerregistry import Address
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from bridge.contract.alerts import AlertKind
from bridge.contract.settings import Duration, SettingsModel
from config.values import http_address, size

_SHORTEST_KEY, _LONGEST_KEY = 24, 64  # bytes: as the specification of Standard Webhooks wants it
_ZONE = 'expected the name of a time zone, such as "Europe/Berlin"'


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _mail_address(text: str) -> str:
    try:
        found = Address(addr_spec=text)
    except Exception:  # noqa: BLE001 - the parser fails in many ways at what is no address
        found = Address()
    if not (found.username and found.domain) or not text.isprintable():
        raise ValueError('expected a mail address such as "ops@example.org"')
    return text


def _secret_address(secret: SecretStr) -> SecretStr:
    http_address(secret.get_secret_value())
    return secret


def _signing_secret(secret: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise ValueError(
            f'expected base64 of {_SHORTEST_KEY} to {_LONGEST_KEY} bytes, as in "whsec_..."; make one with: openssl rand -base64 32'
        )
    return secret


def _time_of_day(text: object) -> object:
    if isinstance(text, str):
        try:
            found = time.fromisoformat(text)
        except ValueError:
            found = None
        if found is not None and found.tzinfo is None and text.count(":") == 1:
            return found
    if isinstance(text, time):
        return text
    raise ValueError('expected a time of day such as "07:30"')


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(_ZONE) from None
    return text


def _positive(span: timedelta) -> timedelta:
    if span <= timedelta(0):
        raise ValueError("expected more than 0 seconds")
    return span


Span = Annotated[Duration, AfterValidator(_positive)]


class AlertWebhook(SettingsModel):
    """``alerts.webhook``: a receiver of signed Standard Webhooks.

    Attributes:
        url: where they are posted; it may hold a secret.
        secret: what they are signed with: base64 of 24 to 64 bytes, perhaps with `whsec_` before it.
    """

    url: Annotated[SecretStr, AfterValidator(_secret_address)]
    secret: Annotated[SecretStr, AfterValidator(_signing_secret)]


class Alerts(SettingsModel):
    """``[alerts]``: what the operator is told about without having asked, and by what road.

    Attributes:
        mail: addresses that alerts are mailed to, through `[mailer]`; one may be written without a list.
        slack: address of an incoming webhook of Slack, or of what understands the same.
        webhook: a receiver of signed Standard Webhooks.
        mute: kinds of causes that nobody is told of.
        remind: how long after it was told an alert that is still open is told again; `"0s"` is never.
        settled: for how long a cause has to be away before it is over.
        lane_open_after: for how long a target has to be down.
        lane_paused_after: for how long an operator's pause of a target may last.
        early_after: for how long a refund may wait for its purchase.
        quiet_after: a source that is silent for less is never called quiet; beyond that, four times its usual silence counts.
        disk_free: free space on the disk of the ledger, below which it is low.
        clock_off: difference of this machine's clock to those of the targets.
        digest: time of day at which yesterday is summed up, such as `"07:30"`; without it there is no digest.
        digest_zone: the time zone of `digest`, and of the day that it sums up.
    """

    mail: Annotated[tuple[Annotated[str, AfterValidator(_mail_address)], ...], BeforeValidator(_several)] = ()
    slack: Annotated[SecretStr, AfterValidator(_secret_address)] | None = None
    webhook: AlertWebhook | None = None
    mute: Annotated[tuple[AlertKind, ...], BeforeValidator(_several)] = ()
    remind: Duration = timedelta(hours=24)
    settled: Span = timedelta(minutes=5)
    lane_open_after: Span = timedelta(minutes=10)
    lane_paused_after: Span = timedelta(hours=12)
    early_after: Span = timedelta(days=2)
    quiet_after: Span = timedelta(hours=1)
    disk_free: Annotated[int, BeforeValidator(size), Field(ge=0)] = 2**30
    clock_off: Span = timedelta(minutes=1)
    digest: Annotated[time | None, BeforeValidator(_time_of_day)] = None
    digest_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
