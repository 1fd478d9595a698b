"""The mapping page: what is sold, what it opens and where, and what was bought and opens nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from bridge.edge.console.access import Visitor
from bridge.edge.console.pages import page
from bridge.edge.console.words import key_of_lines
from bridge.edge.masked import veil
from bridge.ledger import causes, overview
from bridge.ledger.store import Ledger

Rows = Sequence[Mapping[str, Any]]
Maps = Callable[[Rows], Mapping[str, Any]]
"""Given what waits unmapped, returns the mapping that the bridge works by."""

_MOST: Final = 1_000  # products in one table


class MappingPage:
    """Shows the mapping of the running bridge."""

    def __init__(self, ledger: Ledger, maps: Maps) -> None:
        """Show what ``maps`` returns, with what waits in ``ledger``."""
        self._ledger = ledger
        self._maps = maps

    async def show(self, _: web.Request, visitor: Visitor) -> web.Response:
        """Show the page.

        Raises:
            LedgerError: the ledger is away.
        """
        groups = await self._ledger.read(overview.quarantined)
        found = self._maps([row for row in groups if row["kind"] == "unmapped"])
        products = found["products"]
        return page(
            "mapping",
            visitor,
            here="mapping",
            **{
                **found,
                "unmapped": [_waiting(row) for row in found["unmapped"]],
                "many": len(groups) >= causes.GROUPS,
                "products": products[:_MOST],
                "more": max(0, len(products) - _MOST),
            },
        )


def _waiting(row: Mapping[str, Any]) -> dict[str, Any]:
    """Mask what a sender wrote; of an id that is masked, nothing can be copied."""
    masked = veil({"source": row["source"], "remote_product_id": row["remote_product_id"]})
    readable = all(masked[name] == row[name] for name in masked)
    return {**row, **masked, "toml": row["toml"] if readable else None, "key": key_of_lines(row)}
