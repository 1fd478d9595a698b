"""The credentials of sources and targets as the configuration has them: what kind each is, and by what the ledger knows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from bridge.contract.mail import MAILER, MailSettings
from bridge.ledger.credentials import Held, Holder, fingerprint
from config.settings import Settings

_KINDS: Final = {
    "api_key": "API key",
    "key": "API key",
    "api_login_id": "API login id",
    "token": "access token",
    "secret": "shared secret",
    "client_secret": "OAuth client secret",
}
"""The word for a setting whose name says less than people do; every other is named by its setting."""

_SIGNING: Final = "signing secret"


@dataclass(frozen=True, slots=True)
class Credential:
    """A value that stands in the configuration, without the value.

    Attributes:
        held: by what the ledger knows it.
        kind: in words.
        place: which of several it is while they rotate, from 1 on: the first is the current one. 0: there is one.
    """

    held: Held
    kind: str
    place: int = 0


def credentials_of(settings: Settings, holder: Holder, name: str) -> list[Credential]:
    """Return the credentials of one source or target, in the order of its settings; none where there is none of that name."""
    given: Any
    if holder == "target" and name == MAILER:
        given = settings.mailer
    else:
        given = (settings.sources if holder == "source" else settings.targets).get(name)
    found = [
        Credential(Held(holder, name, path, fingerprint(value)), kind_of(owner, path), place)
        for path, owner, value, place in _secrets(given, "", given)
    ]
    if isinstance(given, MailSettings) and given.login is not None and not found and given.login[1]:
        found = [Credential(Held(holder, name, "url", fingerprint(given.login[1])), "password")]  # it stands in there
    return found


def held(settings: Settings) -> Iterator[Held]:
    """Yield every credential of every source and target, for the ledger."""
    names: Mapping[Holder, list[str]] = {"source": [*settings.sources], "target": [*settings.targets, MAILER]}
    for holder, all_names in names.items():
        for name in all_names:
            yield from (one.held for one in credentials_of(settings, holder, name))


def kind_of(owner: Any, path: str) -> str:
    """Return in words what kind of credential a setting holds: by its name, and of a signature by its ``owner``, the table it stands in."""
    name = path.rpartition(".")[2]
    if name.startswith("signing_secret") or (name == "secret" and getattr(owner, "scheme", "") == "hmac"):
        return _SIGNING
    return _KINDS.get(name) or name.replace("_", " ")


def _secrets(given: Any, path: str, owner: Any, place: int = 0) -> Iterator[tuple[str, Any, str, int]]:
    """Yield of every secret of a settings model its path, the table it stands in, its value and its place."""
    if isinstance(given, SecretStr):
        if value := given.get_secret_value():
            yield path, owner, value, place
    elif isinstance(given, BaseModel):
        for name in type(given).model_fields:
            yield from _secrets(getattr(given, name), f"{path}.{name}" if path else name, given)
    elif isinstance(given, Mapping):
        for name, item in given.items():
            yield from _secrets(item, f"{path}.{name}", owner)
    elif isinstance(given, list | tuple):
        for at, item in enumerate(given, start=1):
            yield from _secrets(item, path, owner, at if len(given) > 1 else 0)
