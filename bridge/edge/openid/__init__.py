"""Logging in at an OpenID provider: what we ask it, what it must prove, and who gets in by that."""

from __future__ import annotations

from bridge.contract.errors import BridgeError


class OpenIDFault(BridgeError):
    """Nobody gets in by what the provider answered, or did not."""


class ProviderFault(OpenIDFault):
    """The provider can't be asked, or its answer is of no use: whoever wants to log in can do nothing about it."""


class CodeRefused(OpenIDFault):
    """The provider does not take the code that a browser brought: it is used, too old, made up or somebody else's."""


class Unproven(OpenIDFault):
    """What the provider says of somebody can't be believed."""
