"""What the configuration says of the console's OpenID provider, as the edge needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.contract.outbound import Finding, NeedsOperator, Outcome, Receipt
from bridge.edge.console.login import OPENID
from bridge.edge.console.openid import BACK
from bridge.edge.openid import ProviderFault
from bridge.edge.openid.provider import Provider
from bridge.edge.openid.terms import Terms
from bridge.kit.clock import Clock
from config.settings import Settings


def terms_of(settings: Settings) -> Terms | None:
    """Return what was agreed on with the provider, or None where there is none."""
    given = settings.admin.openid
    uri = redirect_uri(settings)
    if given is None or uri is None:
        return None
    return Terms(
        issuer=given.issuer,
        client_id=given.client_id,
        client_secret=given.client_secret.get_secret_value(),
        redirect_uri=uri,
        scopes=given.scopes,
        name_claim=given.name_claim,
        role_claim=given.role_claim,
        operators=frozenset(given.operators),
        viewers=frozenset(given.viewers),
        label=given.label,
        session=int(given.session.total_seconds() * 1_000),
    )


def redirect_uri(settings: Settings) -> str | None:
    """Return the address that has to be registered at the provider, or None where there is none."""
    url = settings.admin.console_url(settings.server.public_url)
    return f"{url}{OPENID}{BACK}" if settings.admin.openid is not None and url is not None else None


async def examined(settings: Settings, clock: Clock) -> tuple[Outcome, list[Finding]]:
    """Ask the provider for what it publishes, and look whether people can log in by it. There has to be one.

    Whether it takes ``client_id``, the secret and the address to come back to, shows only when somebody logs in.
    """
    terms = terms_of(settings)
    assert terms is not None  # noqa: S101 - whoever asks has looked
    provider = Provider(terms, clock)
    try:
        published = await provider.published()
    except ProviderFault as fault:
        return NeedsOperator(str(fault), "Look at the provider, the network between, and [admin.openid] issuer."), []
    try:
        count = len(await provider.keys())
        keys = Finding("keys of the provider", ok=True, said=f"{count} may sign")
    except ProviderFault as fault:
        keys = Finding("keys of the provider", ok=False, said=str(fault), remedy="Ask whoever runs the provider.")
    told = (
        f"{terms.logged_out_uri} has to be registered for it there" if published.ending else "it has no address for it"
    )
    asked = [
        Finding("logging out at the provider as well", ok=True, said=told),
        _supports(published.said, "response_types_supported", "code", "the authorization code flow"),
        _supports(published.said, "code_challenge_methods_supported", "S256", "PKCE with S256"),
    ]
    note = f"it is {terms.issuer}; {terms.redirect_uri} has to be registered there"
    return Receipt(note=note), [keys, *asked]


def _supports(said: Mapping[str, Any], name: str, value: str, what: str) -> Finding:
    told = said.get(name)
    if not isinstance(told, list):  # some tell little of themselves and can it all the same
        return Finding(what, ok=True, said="the provider does not say")
    ok = value in told
    return Finding(what, ok=ok, said="" if ok else "not offered", remedy="" if ok else "Allow it at the provider.")
