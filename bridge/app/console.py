"""The web console of a running bridge."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bridge import registry
from bridge.actions import Actions
from bridge.app.mapping import bare, mapping_of
from bridge.app.openid import terms_of
from bridge.app.systems import sources_of, targets_of
from bridge.app.verb import Verb
from bridge.contract.outbound import HasPages
from bridge.edge.console import Console
from bridge.edge.console.access import Access, User
from bridge.edge.console.acting import Acting
from bridge.edge.console.glance import Glance
from bridge.edge.console.login import Login
from bridge.edge.console.mapping import MappingPage
from bridge.edge.console.openid import OpenIDLogin
from bridge.edge.console.rehearsing import RehearsalBox
from bridge.edge.console.systems import SystemPages
from bridge.edge.console.views import Views

if TYPE_CHECKING:
    from bridge.app import Bridge


def console_of(bridge: Bridge, actions: Actions) -> Console:
    """Return the console of ``bridge``; who may log in is read anew each time, so that a reload counts at once."""

    def users() -> dict[str, User]:
        openid, given = bridge.settings.admin.openid, bridge.settings.console.users
        if openid is not None and not openid.passwords:
            return {}
        return {name: User(user.password.get_secret_value(), user.role) for name, user in given.items()}

    server = bridge.settings.server
    # The public address says nothing of a listener of our own, which may be reached by plain HTTP on loopback.
    https = bridge.settings.admin.port is None and (server.public_url or "").lower().startswith("https:")
    terms = lambda: terms_of(bridge.settings)  # noqa: E731 - the newest after a reload
    access = Access(bridge.ledger, users, terms, server.trusted_proxies, bridge.clock, https=https)
    login = Login(access, OpenIDLogin(access, bridge.ledger, terms, server.trusted_proxies, bridge.clock))
    quiet = lambda: bridge.settings.alerts.quiet_after  # noqa: E731 - the newest after a reload
    glance = Glance(bridge.ledger, lambda: bridge.catalogue, bridge, bridge.clock, quiet)
    systems = SystemPages(
        bridge.ledger, glance, bridge, partial(targets_of, bridge), partial(sources_of, bridge), bridge.clock
    )
    mapping = MappingPage(bridge.ledger, lambda waiting: mapping_of(bridge.settings, waiting))
    acting = Acting(bridge.ledger, actions, bridge.clock, glance.changed)
    views = Views(bridge.ledger, glance, lambda: bridge.catalogue, partial(page_of, bridge))
    rehearses = None if bridge.file is None else Verb(bridge.file).rehearse
    box = RehearsalBox(lambda: bridge.catalogue.sources, rehearses)
    return Console(access, login, glance, views, acting, systems, mapping, box)


def page_of(bridge: Bridge, target: str, kind: str, remote_id: str) -> str | None:
    """Return the address of a target's own web page for an id that it gave, where its connector knows one."""
    given = bridge.settings.targets.get(target)
    if given is None:
        return None
    connector = registry.connector_class(given.connector)
    page = connector.page_of(given, kind, remote_id) if issubclass(connector, HasPages) else None
    return bare(page) if page is not None else None  # a password in base_url is the bridge's, not the operators'
