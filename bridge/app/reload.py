"""What a reload may change, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bridge.actions import ActionRefused
from bridge.contract.catalogue import Catalogue
from bridge.contract.mail import MAILER
from bridge.ledger import given_up
from bridge.ledger.store import Ledger
from config.settings import Settings

_AT_START_ONLY = ("server", "admin", "log", "telemetry")
_AT_ONCE = (("admin", "tokens"), ("admin", "openid"))  # who is no longer let in must be out


class ReloadRefused(ActionRefused):
    """The settings are valid and can't be taken over while the bridge runs; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What is different now: names of sources, targets and courses, and how many products."""

    added: Mapping[str, list[str]]
    removed: Mapping[str, list[str]]
    changed_targets: tuple[str, ...]
    mapping_changed: bool

    @classmethod
    def between(cls, before: Catalogue, after: Catalogue, changed_targets: Iterable[str]) -> Self:
        """Compare two mappings; ``changed_targets`` work with other settings now."""
        kinds = {
            kind: (set(getattr(before, kind)), set(getattr(after, kind))) for kind in ("sources", "targets", "courses")
        }
        return cls(
            added={kind: sorted(new - old) for kind, (old, new) in kinds.items() if new - old},
            removed={kind: sorted(old - new) for kind, (old, new) in kinds.items() if old - new},
            changed_targets=tuple(sorted(set(changed_targets) & {*after.targets, *([MAILER] if after.mailer else [])})),
            mapping_changed=before.digest != after.digest,
        )

    def words(self) -> dict[str, Any]:
        """Return it for a log line or as JSON."""
        return {
            "added": dict(self.added),
            "removed": dict(self.removed),
            "changed_targets": list(self.changed_targets),
            "mapping_changed": self.mapping_changed,
        }


def refuse_what_needs_a_restart(before: Settings, after: Settings) -> None:
    """Refuse settings that are read at start-up only.

    Raises:
        ReloadRefused: naming them.
    """
    changed = [
        f"{section}.{name}"
        for section in _AT_START_ONLY
        for name in type(getattr(after, section)).model_fields
        if (section, name) not in _AT_ONCE
        and getattr(getattr(before, section), name) != getattr(getattr(after, section), name)
    ]
    if before.ledger.url != after.ledger.url:
        changed.append("ledger.url")
    if before.dispatch.lease != after.dispatch.lease:
        changed.append("dispatch.lease")
    if changed:
        raise ReloadRefused(f"these are read at start-up only: {', '.join(changed)}; restart the bridge for them")


def _lanes(settings: Settings) -> set[str]:
    return {*settings.targets, *([MAILER] if settings.mailer is not None else [])}


async def unfinished(ledger: Ledger, before: Settings, after: Settings) -> None:
    """Refuse to lose a target that still has something to do, or that somebody has access at.

    Raises:
        ReloadRefused: naming the targets and what would be forgotten with them.
        LedgerError: the ledger is away.
    """
    leaving = sorted(_lanes(before) - _lanes(after))
    if not leaving:
        return
    counted = await ledger.read(lambda connection: given_up.counted_on(connection, leaving))
    if counted:
        told = "; ".join(f"{name} ({what})" for name, what in sorted(counted.items()))
        raise ReloadRefused(
            f"these targets are gone from the file and still counted on: {told}; put them back, or keep them with"
            " drop = true to give them up"
        )
