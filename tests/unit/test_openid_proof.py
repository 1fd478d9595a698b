"""What an ID token has to be, so that somebody gets in by it; and as what, by their claims."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta

import jwt
import pytest
from jwt.warnings import InsecureKeyLengthWarning

from bridge.edge.openid import Unproven
from bridge.edge.openid.proof import ALGORITHMS, KeyMissing, proven, usable
from tests.acceptance.openid_rig import CLIENT, SECRET, private_key, published, said_of, signed, terms

ISSUER, NONCE = "https://login.example.org/realms/staff", "n" * 64
TERMS = terms(ISSUER)
KEYS = [published("ES256")]


def _judged(token: str, keys=KEYS) -> dict:
    return proven(token, usable(keys), TERMS, NONCE)


def _said(**changes) -> dict:
    """Return claims; a span counts from now, when the test runs."""
    now = time.time()
    return said_of(
        ISSUER,
        NONCE,
        **{
            name: int(now + value.total_seconds()) if isinstance(value, timedelta) else value
            for name, value in changes.items()
        },
    )


def _raw(header: dict, claims: dict | bytes, signature: bytes = b"x") -> str:
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (json.dumps(header).encode(), body, signature)
    )


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_every_kind_of_signature_that_is_taken(alg: str) -> None:
    """By the key of that name; a key that says nothing of its use or algorithm will do."""
    for changes in ({}, {"alg": alg}):
        keys = [published("EdDSA" if alg == "ES256" else "ES256", "two"), published(alg, **changes)]
        keys[1].pop("use")
        assert _judged(signed(_said(), alg), keys)["sub"] == "u-1"


def test_a_token_without_the_name_of_a_key() -> None:
    """Is taken where one key alone can have signed it."""
    token = jwt.encode(_said(), private_key("EC", "one"), "ES256")
    assert _judged(token)["email"] == "ada@example.org"
    assert _judged(token, [published("RS256"), *KEYS])["email"] == "ada@example.org"
    with pytest.raises(Unproven, match="does not say by which"):
        _judged(token, [published("ES256", "two"), *KEYS])


@pytest.mark.parametrize(
    "changes",
    [{"aud": [CLIENT]}, {"aud": [CLIENT, "api"], "azp": CLIENT}, {"azp": CLIENT}, {"exp": timedelta(seconds=-30)}],
)
def test_claims_that_will_do(changes: dict) -> None:
    """One of several audiences with azp, and clocks that differ by less than a minute."""
    assert _judged(signed(_said(**changes)))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": timedelta(seconds=-120)}, "is over"),
        ({"iat": timedelta(seconds=120)}, "of the future"),
        ({"nbf": timedelta(seconds=120)}, "of the future"),
        ({"iss": ISSUER + "/"}, "another issuer's"),
        ({"aud": "other"}, "somebody else"),
        ({"aud": [CLIENT, "api"]}, "somebody else"),
        ({"aud": [CLIENT, "api"], "azp": "api"}, "somebody else"),
        ({"azp": "api"}, "somebody else"),
        ({"azp": 7}, "somebody else"),
        ({"nonce": NONCE[1:]}, "another login"),
        ({"nonce": None}, "another login"),
        ({"nonce": 7}, "another login"),
        ({"nonce": "\ud800"}, "another login"),
        ({"exp": None}, "lacks a claim"),
        ({"iat": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"aud": None}, "lacks a claim"),
        ({"exp": "soon"}, "not as it has to be"),
        ({"exp": float("inf")}, "not as it has to be"),
        ({"aud": {"a": 1}}, "somebody else"),
        ({"sub": 7}, "not as it has to be"),
    ],
)
def test_claims_that_are_not_believed(changes: dict, why: str) -> None:
    """However well they are signed."""
    with pytest.raises(Unproven, match=why):
        _judged(signed(_said(**changes)))


def test_kinds_of_signatures_that_are_never_taken() -> None:
    """None at all, and none that somebody can make who knows the client's secret or the public key."""
    unsigned = _raw({"alg": "HS256", "kid": "one"}, _said()).rpartition(".")[0]
    by_public_key = hmac.new(json.dumps(KEYS[0]).encode(), unsigned.encode(), hashlib.sha256).digest()
    for token in (
        jwt.encode(_said(), None, "none", headers={"kid": "one"}),
        jwt.encode(_said(), SECRET * 3, "HS256", headers={"kid": "one"}),
        f"{unsigned}.{base64.urlsafe_b64encode(by_public_key).decode().rstrip('=')}",
        signed(_said(), "RS384"),
    ):
        with pytest.raises(Unproven, match="in a way that is not taken"):
            _judged(token, [*KEYS, published("RS256")])
    for alg in ("None", "NONE", "", None, 7, ["ES256"], {"a": 1}):
        with pytest.raises(Unproven):
            _judged(_raw({"alg": alg, "kid": "one"}, _said()))


def test_keys_that_do_not_fit() -> None:
    """Another key of the same name, one for other uses, one that is too short, and one of another kind."""
    with pytest.raises(Unproven, match="signature is wrong"):
        _judged(signed(_said(), "ES256", "two", kid="one"))
    with pytest.warns(InsecureKeyLengthWarning):
        short = signed(_said(), "RS256", "short")
    with pytest.raises(Unproven, match="too short"):
        _judged(short, [published("RS256", "short")])
    for keys in (
        [published("ES256", use="enc")],
        [published("ES256", alg="ES384")],
        [published("RS256")],
        [published("ES256", "two")],
        [{"kty": "oct", "k": "c2VjcmV0", "kid": "one"}],
    ):
        with pytest.raises(KeyMissing):
            _judged(signed(_said()), keys)
    for broken in (
        {**KEYS[0], "crv": "P-384"},
        {**KEYS[0], "x": "!"},
        {**KEYS[0], "y": 7},
        {"kty": "EC", "kid": "one"},
    ):
        with pytest.raises(Unproven):
            _judged(signed(_said()), [broken])


def test_what_is_published_and_no_key() -> None:
    """Is passed over."""
    assert usable(None) == usable("x") == usable([7, None, {}, {"kty": "oct"}, {"kty": ["EC"]}]) == []


def test_what_is_no_token() -> None:
    """Garbage of any kind is not proven, and repeats nothing."""
    deep = b"[" * 100_000
    good = {"alg": "ES256", "kid": "one"}
    head, body, signature = signed(_said()).split(".")
    for token in (
        "",
        ".",
        "..",
        "a.b.c",
        "\x00.\ud800.x",
        "x" * 100_000,
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}..{signature}",
        f"{head}.{body}.{signature}.{signature}",
        _raw(good, deep),
        _raw(good, b"\xff"),
        _raw({**good, "crit": ["x"]}, _said()),
        _raw({**good, "b64": False}, _said()),
        _raw({**good, "kid": 7}, _said()),
        _raw({**good, "zip": "DEF"}, _said()),
        _raw({}, {}),
    ):
        with pytest.raises(Unproven) as caught:
            _judged(token)
        assert "ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("claim", "claims", "role"),
    [
        ("groups", {"groups": ["x", "bridge-operators"]}, "operator"),
        ("groups", {"groups": "bridge-viewers"}, "viewer"),
        ("groups", {"groups": ["bridge-viewers", "bridge-operators"]}, "operator"),
        ("groups", {"groups": {"bridge-viewers": {"1": "example.org"}}}, "viewer"),
        ("realm_access.roles", {"realm_access": {"roles": ["bridge-operators"]}}, "operator"),
        ("https://example.org/roles", {"https://example.org/roles": ["bridge-viewers"]}, "viewer"),
        ("groups", {"groups": ["Bridge-Operators", "bridge-operators "]}, None),
        ("groups", {"groups": [7, None, ["bridge-operators"]]}, None),
        ("groups", {"groups": True}, None),
        ("groups", {}, None),
        ("realm_access.roles", {"realm_access": ["roles"]}, None),
    ],
)
def test_roles(claim: str, claims: dict, role: str | None) -> None:
    """By exact values of a text, a list or a table; the operator's counts more. Nobody gets in by default."""
    assert terms(ISSUER, role_claim=claim).role_of(claims) == role


@pytest.mark.parametrize(
    ("verified", "counts"), [(True, True), ("true", True), (False, False), (None, False), (1, True)]
)
def test_an_address_counts_only_where_it_is_verified(verified, counts: bool) -> None:
    """People write into their profiles what they like."""
    agreed = terms(ISSUER, role_claim="email", operators=frozenset({"ada@example.org"}))
    claims = {"email": "ada@example.org", "email_verified": verified}
    assert (agreed.role_of(claims) == "operator") is counts
    assert (agreed.name_of(claims) == "openid ada@example.org") is counts


def test_names() -> None:
    """Are told from those of users and tokens, and hold nothing that would spoil a line."""
    agreed = terms(ISSUER, name_claim="preferred_username")
    names = {"ada": "openid ada", " a\n\x00b\u202e ": "openid ab", "x" * 500: f"openid {'x' * 190}", " ": None, 7: None}
    assert {name: agreed.name_of({"preferred_username": name}) for name in names} == names


def test_a_session_belongs_to_its_terms() -> None:
    """Another issuer, claim or value makes other terms; another secret, label or scope does not."""
    kept = TERMS.fingerprint("viewer")
    assert TERMS.role_behind(kept) == "viewer"
    same = terms(ISSUER, client_secret="other", label="other", scopes=("openid",), session=1)
    assert same.role_behind(kept) == "viewer"
    for changes in ({"issuer": "https://x"}, {"client_id": "x"}, {"role_claim": "x"}, {"viewers": frozenset({"x"})}):
        assert terms(**{"issuer": ISSUER, **changes}).role_behind(kept) is None
