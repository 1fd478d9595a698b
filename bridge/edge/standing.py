"""How the lanes of all targets stand, as far as the ledger knows."""

from __future__ import annotations

from typing import Any

from bridge.contract.catalogue import Catalogue
from bridge.contract.mail import MAILER
from bridge.ledger import overview, reports


def lanes_now(connection: Any, catalogue: Catalogue, now: int) -> list[dict[str, Any]]:
    """Return every lane with its counts, its pause and its newest trouble."""
    names = sorted([*catalogue.targets, *([MAILER] if catalogue.mailer is not None else [])])
    paused = {row["target"]: row for row in reports.pauses(connection)}
    trouble, waiting = overview.troubles(connection), overview.waiting(connection)
    return [
        {
            **row,
            "oldest_due_seconds": row["oldest"],
            "connector": catalogue.targets[row["target"]].connector if row["target"] in catalogue.targets else "mail",
            "waiting": waiting.get(row["target"], 0),
            "paused": paused.get(row["target"]),
            "trouble": trouble.get(row["target"]),
        }
        for row in overview.lanes(connection, names, now)
    ]
