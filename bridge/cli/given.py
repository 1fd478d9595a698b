"""What verbs are given: the options they share, and the configuration read from where ``--config`` points."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli import completing
from bridge.contract.mail import MAILER
from bridge.contract.settings import duration
from bridge.kit.clock import SystemClock
from bridge.registry import Registry
from config.load import Loaded, load
from config.settings import Settings

CONFIG = Path("bridge.toml")
_CONFIG_HELP = "The configuration file."


def moment_since(text: str) -> datetime:
    """Read ``24h`` (that long ago) or a date and time (UTC where no zone is given).

    Raises:
        typer.BadParameter: neither.
    """
    try:
        span = duration(text)
    except ValueError:
        span = None
    if isinstance(span, timedelta):
        return SystemClock().now() - span
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter('expected a duration such as "24h" or "7d", or a date such as "2026-03-01"') from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


ConfigPath = Annotated[Path, typer.Option("--config", "-c", envvar="BRIDGE_CONFIG", metavar="PATH", help=_CONFIG_HELP)]
# Without the environment variable: what stands before `show` on the command line comes first.
OwnConfigPath = Annotated[Path | None, typer.Option("--config", "-c", metavar="PATH", help=_CONFIG_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: stable keys, times in ISO 8601 (UTC).")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show names and e-mail addresses unmasked.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many, newest first.")]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=moment_since, metavar="WHEN", help="Not older: 24h, 7d, or a date (UTC)."),
]
OfSource = Annotated[
    str | None, typer.Option("--source", "-s", help="Of this source.", autocompletion=completing.sources)
]
OfTarget = Annotated[
    str | None, typer.Option("--target", "-t", help="Of this target.", autocompletion=completing.targets)
]
OfProduct = Annotated[str | None, typer.Option("--product", "-p", help="Of this product, as its source calls it.")]
Ids = Annotated[
    list[int] | None, typer.Argument(metavar="ID", show_default=False, help="Numbers, as the lists show them.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def loaded(path: Path) -> Loaded:
    """Read and validate the configuration.

    Raises:
        ConfigError: it can't be used.
    """
    return load(path, Registry())


def settings_of(path: Path) -> Settings:
    """Return the operator's settings.

    Raises:
        ConfigError: they can't be used.
    """
    return loaded(path).settings


def expect_names(settings: Settings, *, source: str | None = None, target: str | None = None) -> None:
    """Tell a misspelt name from one that nothing was found for; what left the configuration may still be in the ledger.

    Raises:
        typer.BadParameter: the configuration has no such source or target.
    """
    lanes = [*settings.targets, *([MAILER] if settings.mailer is not None else [])]
    for kind, name, known in (("source", source, [*settings.sources]), ("target", target, lanes)):
        if name is not None and name not in known:
            raise typer.BadParameter(f"there is no {kind} '{name}'; there are {', '.join(sorted(known)) or 'none'}")
