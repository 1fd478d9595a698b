"""The admin API of a running bridge."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bridge.actions import Actions
from bridge.app.systems import sources_of, targets_of
from bridge.edge.api import Api
from bridge.edge.api.access import Token, Tokens
from bridge.edge.api.endpoint import Desk
from bridge.kit.signatures import fingerprint

if TYPE_CHECKING:
    from bridge.app import Bridge


def api_of(bridge: Bridge, actions: Actions) -> Api:
    """Return the API of ``bridge``; which tokens count is read anew each time, so that a reload counts at once."""

    def tokens() -> dict[str, Token]:
        return {
            name: Token(
                (*(fingerprint(secret.get_secret_value()) for secret in given.token), *given.sha256), given.role
            )
            for name, given in bridge.settings.admin.tokens.items()
        }

    access = Tokens(bridge.ledger, tokens, bridge.settings.server.trusted_proxies, bridge.clock)
    facts = partial(targets_of, bridge), partial(sources_of, bridge)
    return Api(access, Desk(bridge.ledger, lambda: bridge.catalogue, bridge, actions, bridge.clock, *facts))
