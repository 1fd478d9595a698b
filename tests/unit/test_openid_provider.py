"""What an OpenID provider is asked, how often, and what of its answers is taken: over loopback."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from bridge.edge.openid import CodeRefused, ProviderFault, Unproven
from bridge.edge.openid.errand import Errand
from bridge.edge.openid.proof import KeyMissing
from bridge.edge.openid.provider import Provider
from bridge.kit.clock import SetClock
from tests.acceptance import openid_rig
from tests.acceptance.openid_rig import published, query_of, terms

DISCOVERY = "openid-configuration"


@pytest.fixture
async def there():
    async with openid_rig.provider() as found:
        yield found


@pytest.fixture
def clock() -> SetClock:
    return SetClock(datetime(2026, 1, 1, tzinfo=UTC))


def _code(there, errand: Errand) -> str:
    """Return a code as it is given to somebody who decided."""
    there.codes["code"] = {
        "code_challenge": errand.challenge,
        "redirect_uri": there.redirect_uri,
        "nonce": errand.nonce,
        "person": "{}",
    }
    return "code"


async def test_many_at_once_ask_once(there, clock) -> None:
    """What it tells of itself is kept for an hour."""
    here = Provider(terms(there.issuer), clock)
    await asyncio.gather(*(here.published() for _ in range(50)), *(here.keys() for _ in range(50)))
    assert (there.count(DISCOVERY), there.count("/keys")) == (1, 1)
    clock.move(3_599)
    await here.published()
    assert there.count(DISCOVERY) == 1
    clock.move(1)
    await here.published()
    assert there.count(DISCOVERY) == 2


async def test_a_failure_counts_for_a_moment(there, clock) -> None:
    """The login page is open to the world, and a provider that is down must not be asked for each click."""
    here = Provider(terms(there.issuer), clock)
    there.faults[DISCOVERY] = (503, b"")
    for _ in range(5):
        with pytest.raises(ProviderFault, match="answered with status 503"):
            await here.published()
    assert there.count(DISCOVERY) == 1
    there.faults.clear()
    clock.move(2)
    assert (await here.published()).basic


async def test_keys_are_fetched_anew_now_and_then(there, clock) -> None:
    """For a token by an unknown key once, then not for half a minute, however many come."""
    here = Provider(terms(there.issuer), clock)
    errand = Errand.start(there.issuer, "/console/", 0)
    assert (await here.identity(_code(there, errand), errand)).claims["sub"] == "u-1"
    there.key = ("ES256", "two")
    for _ in range(3):
        with pytest.raises(KeyMissing):
            await here.identity(_code(there, errand), errand)
    assert there.count("/keys") == 2
    there.keys = [published("ES256", "two")]
    clock.move(30)
    assert (await here.identity(_code(there, errand), errand)).claims["sub"] == "u-1"
    assert there.count("/keys") == 3
    there.key = ("ES256", "one")
    with pytest.raises(KeyMissing):  # a key that is withdrawn does not count any more
        await here.identity(_code(there, errand), errand)


async def test_a_new_key_may_have_the_name_of_the_former_one(there, clock) -> None:
    """What seems to be a wrong signature is judged once more, by the keys of now."""
    there.keys = [published("ES256", "two", kid="one")]
    here = Provider(terms(there.issuer), clock)
    await here.keys()
    there.keys = [published("ES256")]
    errand = Errand.start(there.issuer, "/console/", 0)
    assert (await here.identity(_code(there, errand), errand)).claims["sub"] == "u-1"
    there.keys = [published("ES256", "two", kid="one")]
    clock.move(30)
    there.spoil = lambda claims: {**claims, "aud": "another"}  # what is signed well is not asked about
    with pytest.raises(Unproven, match="meant for somebody else"):
        await here.identity(_code(there, errand), errand)
    assert there.count("/keys") == 2


async def test_a_code_is_bound_to_the_browser_that_was_sent(there, clock) -> None:
    """By PKCE: with another errand the provider does not take it."""
    here = Provider(terms(there.issuer), clock)
    errand, other = (Errand.start(there.issuer, "/console/", 0) for _ in range(2))
    with pytest.raises(CodeRefused):
        await here.identity(_code(there, errand), other)


async def test_where_browsers_are_sent(there, clock) -> None:
    """With everything that the answer is bound by; what stands in the provider's address stays."""
    there.changes["authorization_endpoint"] = f"{there.issuer}/authorize?tenant=a%20b"
    errand = Errand.start(there.issuer, "/console/", 0)
    address = await Provider(terms(there.issuer), clock).address(errand)
    asked = query_of(address)
    assert asked.pop("tenant") == "a b"
    assert asked == {
        "response_type": "code",
        "client_id": openid_rig.CLIENT,
        "redirect_uri": "https://bridge.example.org/console/openid/callback",
        "scope": "openid email",
        "state": errand.state,
        "nonce": errand.nonce,
        "code_challenge": errand.challenge,
        "code_challenge_method": "S256",
    }


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((200, b"<html>"), "no JSON object"),
        ((200, b"[]"), "no JSON object"),
        ((200, b"[" * 100_000), "no JSON object"),
        ((200, b"\xff\xfe"), "no JSON object"),
        ((200, b'{"issuer": "https://evil.example"}'), "another name"),
        ((200, b"{}"), "another name"),
        ((200, b" " * 600_000), "longer than 512 KiB"),
        ((200, b" " * 5_000_000), "longer than 4 MB"),
        ((302, b""), "status 302"),
        ((404, b""), "status 404"),
        (0.5, "no answer within the time limit"),
    ],
)
async def test_a_discovery_document_that_is_none(there, clock, fault, said: str) -> None:
    """Is a fault in words, whatever it is; what came is not repeated."""
    there.faults[DISCOVERY] = fault
    with pytest.raises(ProviderFault, match=said) as caught:
        await Provider(terms(there.issuer), clock, seconds=0.2).published()
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "address",
    [
        None,
        7,
        "",
        "/token",
        "http://login.example.org/token",
        "file:///etc/passwd",
        "https://",
        "https://login.example.org/#x",
        "https://login.example.org/a b",
        "https://login.example.org/\r\nA: b",
        "https://login.example.org:99999/",
        "https://[::1/",
        "https://lögin.example.org/",
    ],
)
async def test_addresses_that_are_not_gone_to(there, clock, name: str, address) -> None:
    """Secrets and keys travel encrypted, or not beyond this machine."""
    there.changes[name] = address
    with pytest.raises(ProviderFault, match=f"{name} is no https:// address"):
        await Provider(terms(there.issuer), clock).published()


async def test_nobody_is_there(clock) -> None:
    """A closed port and a name that does not exist are faults in words."""
    for issuer in ("http://127.0.0.1:1", "https://nowhere.invalid"):
        with pytest.raises(ProviderFault, match="its discovery document: no connection"):
            await Provider(terms(issuer), clock).published()


async def test_an_errand_is_its_issuers() -> None:
    """Who was sent to one provider does not come back from another, after a reload between."""
    errand = Errand.start("https://a.example", "/console/purchases/1", 5)
    again = Errand.read(errand.kept, "https://a.example", 6)
    assert again == errand
    assert again.fits(errand.state)
    assert not Errand.read(errand.kept, "https://b.example", 6).fits(errand.state)
    assert Errand.read(errand.kept, "https://a.example", 600_006) is None


async def test_an_errand_may_end_at_a_bridge_whose_clock_is_behind() -> None:
    """Several share the ledger, and their clocks differ by a little; by more than a minute they do not."""
    errand = Errand.start("https://a.example", "/console/", 100_000)
    assert Errand.read(errand.kept, "https://a.example", 40_000) == errand
    assert Errand.read(errand.kept, "https://a.example", 39_999) is None
