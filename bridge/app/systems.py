"""What operators see of the systems at both ends: settings without their secrets, and what the classes say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge import registry
from bridge.app.credentials import credentials_of
from bridge.app.lanes import rates_of
from bridge.app.mapping import addresses, bare
from bridge.contract.inbound import steps
from bridge.contract.mail import MAILER
from bridge.contract.settings import CallsOut
from bridge.edge.systems import Secret, SourceFacts, TargetFacts
from bridge.ledger.credentials import Holder
from bridge.notices.mailer import Mailer

if TYPE_CHECKING:
    from bridge.app import Bridge


def targets_of(bridge: Bridge) -> list[TargetFacts]:
    """Return every target that is in use, the mail server last."""
    found = [_target(bridge, name) for name in sorted(bridge.catalogue.targets)]
    return found if bridge.catalogue.mailer is None else [*found, _mailer(bridge)]


def sources_of(bridge: Bridge) -> list[SourceFacts]:
    """Return every source that is in use."""
    return [_source(bridge, name) for name in sorted(bridge.catalogue.sources)]


def _target(bridge: Bridge, name: str) -> TargetFacts:
    given = bridge.settings.targets[name]
    kind = registry.connector_class(given.connector)
    return TargetFacts(
        name=name,
        connector=given.connector,
        what=_first_line(kind),
        stage=kind.stage,
        base_url=bare(given.base_url),
        rates=rates_of(bridge.settings, name),
        own_limit=bool(given.rate_limit),
        concurrency=given.concurrency,
        secrets=_secrets(bridge, "target", name),
    )


def _mailer(bridge: Bridge) -> TargetFacts:
    given = bridge.settings.mailer
    assert given is not None  # noqa: S101 - the catalogue has it
    host, port, encrypted = given.server
    return TargetFacts(
        name=MAILER,
        connector="mail",
        what="The mail server, for notices that no target sends.",
        stage="mail",
        base_url=f"{'smtps' if encrypted else 'smtp'}://{host}:{port}",
        rates=given.rate_limit or Mailer.rate_limit,
        own_limit=bool(given.rate_limit),
        concurrency=given.concurrency,
        secrets=_secrets(bridge, "target", MAILER),
    )


def _source(bridge: Bridge, name: str) -> SourceFacts:
    given, server = bridge.settings.sources[name], bridge.settings.server
    kind = registry.adapter_class(given.adapter)
    host = (server.public_url or f"http://{server.host}:{bridge.port or server.port}").rstrip("/")
    return SourceFacts(
        name=name,
        adapter=given.adapter,
        what=_first_line(kind),
        product=kind.product_id,
        addresses=[
            (methods, host + path) for methods, _, path in (one.partition(" ") for one in addresses(name, given))
        ],
        public=server.public_url is not None,
        steps=steps(kind, f"{host}/in/{name}", host),
        asks=bare(given.base_url) if isinstance(given, CallsOut) else "",
        secrets=_secrets(bridge, "source", name),
    )


def _secrets(bridge: Bridge, holder: Holder, name: str) -> list[Secret]:
    return [
        Secret(one.held.field, one.kind, one.place, one.held.fingerprint)
        for one in credentials_of(bridge.settings, holder, name)
    ]


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]
