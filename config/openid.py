"""``[admin.openid]``: logging in to the console at a provider that the company has anyway."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from bridge.contract.settings import Duration, SettingsModel
from config.values import http_address, in_clear

_SHORTEST_SESSION, _LONGEST_SESSION = timedelta(minutes=1), timedelta(hours=12)


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _issuer(text: str) -> str:
    http_address(text)
    parts = urlsplit(text)
    if in_clear(text):
        # Who can change what is read from there may log in as whoever they like.
        raise ValueError("expected https://, or http:// on this machine: who may log in is learnt from there")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(
            'expected an address such as "https://login.example.org/realms/staff", without anything behind it'
        )
    return text


def _origin(text: str) -> str:
    http_address(text)
    parts = urlsplit(text)
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError('expected scheme, host and port only, as in "https://bridge.example.org"')
    return text.rstrip("/")


def _with_openid(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if not all(scope.isascii() and scope.isprintable() and " " not in scope for scope in scopes):
        raise ValueError('expected each scope as a text of its own, as in ["openid", "email"]')
    if "openid" not in scopes:
        raise ValueError('expected "openid" among them')
    return scopes


def _bounded(span: timedelta) -> timedelta:
    if not _SHORTEST_SESSION <= span <= _LONGEST_SESSION:
        raise ValueError('expected a time from "1min" to "12h"')
    return span


Word = Annotated[str, Field(min_length=1, max_length=1_000)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_several)]


class OpenID(SettingsModel):
    """``[admin.openid]``: logging in to the console with OpenID Connect.

    Attributes:
        issuer: address of the provider, letter by letter as it calls itself; its `/.well-known/openid-configuration` tells the rest.
        client_id: by which the provider knows the bridge.
        client_secret: by which the bridge proves that to the provider.
        console_url: how browsers reach the console; default: `[server] public_url`, where the console is there.
        scopes: what is asked for; `openid` is one of them.
        name_claim: the claim by whose value a person is recorded; choose one that people can't change themselves. `email` counts
            only where the provider says that it is verified.
        role_claim: the claim by whose values somebody gets in. A path such as `realm_access.roles` leads into tables. `email`
            counts as for `name_claim`.
        operators: values of that claim that make an operator; one may be written without a list.
        viewers: values that make a viewer; who has none of either does not get in.
        label: what stands on the button.
        passwords: whether the users of `[console.users]` may log in, too.
        session: for how long a login lasts, `"12h"` at most; who is taken out at the provider is out by then.
    """

    issuer: Annotated[str, AfterValidator(_issuer)]
    client_id: Word
    client_secret: SecretStr
    console_url: Annotated[str, AfterValidator(_origin)] | None = None
    scopes: Annotated[tuple[Word, ...], BeforeValidator(_several), AfterValidator(_with_openid)] = (
        "openid",
        "profile",
        "email",
    )
    name_claim: Word = "email"
    role_claim: Word
    operators: Words = ()
    viewers: Words = ()
    label: Annotated[str, Field(min_length=1, max_length=60)] = "Log in with OpenID Connect"
    passwords: bool = True
    session: Annotated[Duration, AfterValidator(_bounded)] = _LONGEST_SESSION

    @model_validator(mode="after")
    def _somebody_gets_in(self) -> OpenID:
        if not self.operators and not self.viewers:
            raise ValueError("expected operators, viewers or both: without them nobody gets in")
        return self
