"""The configured sources, found by name or by the SHA-256 of the key that a sender presents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bridge.contract.catalogue import SourceEntry
from bridge.contract.inbound import InboundAdapter
from bridge.kit.signatures import fingerprint


@dataclass(frozen=True, slots=True)
class Source:
    """One configured inbound: what planning sees of it, and the adapter that knows its credentials.

    Attributes:
        http: through which an adapter that calls out asks the sender; None for one that doesn't.
    """

    entry: SourceEntry
    adapter: InboundAdapter
    http: Any = None


class Sources:
    """All of them; replaced as a whole on reload."""

    def __init__(self, sources: Iterable[Source]) -> None:
        """Index the sources."""
        self.by_name = {source.entry.name: source for source in sources}
        self._by_key = {
            (type(source.adapter), fingerprint(key)): source
            for source in self.by_name.values()
            for key in source.adapter.credentials()
        }

    def found(self, adapter: type[InboundAdapter], key: str | None) -> Source | None:
        """Return the source of this kind that has the key; it is still to be verified in constant time."""
        return None if key is None else self._by_key.get((adapter, fingerprint(key)))

    def adapters(self) -> list[type[InboundAdapter]]:
        """Return the kinds of adapters that are configured."""
        return list({type(source.adapter): None for source in self.by_name.values()})
