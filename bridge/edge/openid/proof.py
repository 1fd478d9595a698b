"""Is what a provider says of somebody proven: the ID token, by OpenID Connect Core 3.1.3.7."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt

from bridge.edge.openid import Unproven
from bridge.edge.openid.terms import Terms

ALGORITHMS: Final = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""What a signature may be made by, and the kind of key that goes with it. Nothing that the client's secret would do for."""

_LEEWAY: Final = 60  # seconds by which the two clocks may differ
_PUBLIC: Final = ("kty", "crv", "n", "e", "x", "y")
_NEEDED: Final = ("iss", "sub", "aud", "exp", "iat")
_MALFORMED = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)

Key = Mapping[str, Any]


class KeyMissing(Unproven):
    """It is signed by a key that we do not know: perhaps a new one, which may have the former one's name, or none."""


def usable(published: object) -> list[Key]:
    """Return those of a provider's keys that may sign for it."""
    return [
        key
        for key in (published if isinstance(published, list) else ())
        if isinstance(key, dict) and key.get("kty") in ALGORITHMS.values() and key.get("use", "sig") == "sig"
    ]


def proven(token: str, keys: Sequence[Key], terms: Terms, nonce: str) -> dict[str, Any]:
    """Return what the provider says of somebody.

    Args:
        token: the ID token.
        keys: those that may sign for the provider.
        terms: whose word counts, and for whom it has to be meant.
        nonce: of the login that it has to answer.

    Raises:
        KeyMissing: it is signed by none of the keys, as far as they are known.
        Unproven: it can't be believed; the message repeats nothing of it.
    """
    try:
        header = jwt.get_unverified_header(token)
    except _MALFORMED:
        raise Unproven("the ID token can't be read") from None
    key = _key(header, keys)
    try:
        claims = jwt.decode(
            token,
            jwt.PyJWK({name: key[name] for name in _PUBLIC if name in key}, header["alg"]),
            algorithms=[header["alg"]],
            audience=terms.client_id,
            issuer=terms.issuer,
            leeway=_LEEWAY,
            options={"require": list(_NEEDED), "enforce_minimum_key_length": True},
        )
    except jwt.InvalidSignatureError:
        raise KeyMissing("the ID token's signature is wrong") from None
    except _MALFORMED as fault:
        raise Unproven(_SAYS.get(type(fault), "the ID token is not as it has to be")) from None
    _meant_for_us(claims, terms)
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "replace"), nonce.encode()):
        raise Unproven("the ID token answers another login")
    return dict(claims)


_SAYS: Mapping[type[BaseException], str] = {
    jwt.ExpiredSignatureError: "the ID token is over: compare the clocks of the bridge and of the provider",
    jwt.ImmatureSignatureError: "the ID token is of the future: compare the clocks of the bridge and of the provider",
    jwt.InvalidAudienceError: "the ID token is meant for somebody else",
    jwt.InvalidIssuerError: "the ID token is another issuer's",
    jwt.MissingRequiredClaimError: "the ID token lacks a claim that it must have",
    jwt.InvalidKeyError: "the provider's key is none for this kind of signature, or too short",
}


def _key(header: Mapping[str, Any], keys: Sequence[Key]) -> Key:
    kind = header.get("alg")
    if not isinstance(kind, str) or kind not in ALGORITHMS:
        raise Unproven("the ID token is signed in a way that is not taken")
    name = header.get("kid")
    fitting = [key for key in keys if key["kty"] == ALGORITHMS[kind] and key.get("alg", kind) == kind]
    found = [key for key in fitting if name is None or key.get("kid") == name]
    if not found:
        raise KeyMissing("the ID token is signed by a key that the provider does not publish")
    if len(found) > 1:
        raise Unproven("the ID token does not say by which of the provider's keys it is signed")
    return found[0]


def _meant_for_us(claims: Mapping[str, Any], terms: Terms) -> None:
    # Where several may read it, or somebody asked for it who is not the audience, azp says for whom it was made.
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != terms.client_id:
        raise Unproven("the ID token is meant for somebody else")
