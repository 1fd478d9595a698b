"""What the shell offers after ``--source`` and ``--target``: the names in the file, read without loading what they name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import typer

from bridge.contract.mail import MAILER
from bridge.registry import Registry


def sources(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of sources that begin so."""
    return _beginning(incomplete, _tables(ctx, "sources"))


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of targets that begin so, with the lane of notices where there is a mailer."""
    mailer = [MAILER] if any(_tables(ctx, MAILER)) else []
    return _beginning(incomplete, [*_tables(ctx, "targets"), *mailer])


def emulators(incomplete: str) -> list[str]:
    """Return the types of targets that can be emulated and begin so."""
    return _beginning(incomplete, [*Registry().emulators()])


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _tables(ctx: typer.Context, section: str) -> list[str]:
    """Return the keys of a section; none of a file that can't be read: whoever presses Tab asked for no complaint."""
    try:
        with _file(ctx).open("rb") as file:
            found = tomllib.load(file).get(section, {})
    except (OSError, ValueError):  # ValueError: neither UTF-8 nor TOML
        return []
    return list(found) if isinstance(found, dict) else []


def _file(ctx: typer.Context) -> Path:
    given: Iterator[object] = (known.params.get("config") for known in (ctx, ctx.parent) if known is not None)
    return Path(str(next((path for path in given if path is not None), "bridge.toml")))
