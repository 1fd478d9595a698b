"""What the operator agreed on with a provider, and whom it lets in as what."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import orjson

Role = Literal["operator", "viewer"]

WORD: Final = "openid "
"""How the name of whoever came from a provider begins: it tells them from the users of the configuration, and from tokens."""

_LONGEST_NAME: Final = 190


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator agreed on with a provider.

    Attributes:
        redirect_uri: where the provider sends browsers back to.
        session: milliseconds that a login lasts.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    scopes: tuple[str, ...]
    name_claim: str
    role_claim: str
    operators: frozenset[str]
    viewers: frozenset[str]
    label: str
    session: int

    @property
    def logged_out_uri(self) -> str:
        """Where the provider sends browsers that have ended their session there."""
        return f"{self.redirect_uri.rpartition('/openid/')[0]}/login"

    def fingerprint(self, role: Role) -> str:
        """Return what a session keeps of the terms it began under: under others it is none any more."""
        who = [self.issuer, self.client_id, self.name_claim, self.role_claim]
        whom = [sorted(self.operators), sorted(self.viewers)]
        return hashlib.sha256(orjson.dumps(["openid", role, *who, *whom])).hexdigest()

    def role_behind(self, fingerprint: str) -> Role | None:
        """Return the role of a session, or None where it did not begin under these terms."""
        return next((role for role in get_args(Role) if self.fingerprint(role) == fingerprint), None)

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """Return as what somebody gets in, or None: then they don't."""
        values = _texts(_claim(claims, self.role_claim))
        return "operator" if values & self.operators else "viewer" if values & self.viewers else None

    def name_of(self, claims: Mapping[str, Any]) -> str | None:
        """Return by which name somebody is recorded, or None where the provider gives none."""
        found = _claim(claims, self.name_claim)
        name = "".join(sign for sign in found if sign.isprintable()).strip() if isinstance(found, str) else ""
        return f"{WORD}{name[:_LONGEST_NAME]}" if name else None


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim. The whole name counts first, because some names are addresses with dots in them."""
    if path == "email" and claims.get("email_verified") not in (True, "true"):
        return None  # people may write whatever address they like into their profile
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _texts(found: Any) -> set[str]:
    """Return the values of a claim: a text, a list of them, or the keys of a table, as providers have it."""
    values = [found] if isinstance(found, str) else found if isinstance(found, list | dict) else ()
    return {value for value in values if isinstance(value, str)}
