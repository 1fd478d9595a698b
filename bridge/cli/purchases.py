"""``cancel`` and ``move``: an operator takes the access of a purchase away, or lets it lead to another course."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from bridge.cli.control import act
from bridge.cli.given import CONFIG, AsJson, ConfigPath, DryRun, Reveal, settings_of
from bridge.cli.shown import complain, course_of, person_of, plain, show, show_json, veil

_LARGEST_ID = 2**63 - 1

Why = Annotated[str, typer.Option("--why", help="Kept with the action, for whoever reads it later.")]
Registration = Annotated[int, typer.Argument(metavar="ID", min=1, max=_LARGEST_ID, help="Id of the registration.")]
Registrations = Annotated[
    list[int], typer.Argument(metavar="ID", min=1, max=_LARGEST_ID, show_default=False, help="Ids of registrations.")
]


def cancel(
    ids: Registrations,
    *,
    config: ConfigPath = CONFIG,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Cancel registrations, as if their sources had done it: their access is taken away at the targets."""
    given = list(dict.fromkeys(ids))
    arguments = {"ids": given, "why": why.strip()[:500], "dry_run": dry_run}
    done = veil(act(settings_of(config), "cancel", arguments), reveal=reveal)
    if as_json:
        show_json(done)
    else:
        for row in done:
            for sentence in _cancelled(row, dry_run=dry_run):
                show(sentence)
    missing = set(given) - {row["registration_id"] for row in done}
    for number in sorted(missing):
        complain(f"there is no registration {number}")
    if missing:
        raise typer.Exit(1)


def move(
    registration: Registration,
    *,
    to: Annotated[
        list[str],
        typer.Option("--to", metavar="COURSE", help="Key of the course, as in courses.KEY; several for a bundle."),
    ],
    config: ConfigPath = CONFIG,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Let a registration lead to another course than it does: access is given there first, then taken away here."""
    arguments = {"registration_id": registration, "to": to, "why": why.strip()[:500], "dry_run": dry_run}
    done = veil(act(settings_of(config), "move", arguments), reveal=reveal)
    if as_json:
        show_json(done)
        return
    for sentence in _moved(done):
        show(sentence)
    one, courses = f"registration {done['registration_id']}", ", ".join(done["courses"])
    if done["became"] == "unchanged":
        show(f"{one} leads to {courses} already; nothing was changed")
    elif dry_run:
        show(f"{one} would lead to {courses}; nothing was changed")
    else:
        back = " ".join(f"--to {key}" for key in done["former"])
        show(f"{one} leads to {courses}. To take it back: bridge move {done['registration_id']} {back}")


def _cancelled(row: Mapping[str, Any], *, dry_run: bool) -> Iterator[str]:
    one = f"registration {row['registration_id']} ({row['source']} {row['remote_product_id']})"
    if row["became"] == "unchanged":
        yield f"{one}: {row['note']}; nothing was changed"
        return
    yield from _rights(row["taken"], "is taken away")
    yield from _rights(row["kept"], "stays: another purchase stands behind it")
    if row["registrations"]:
        yield f"with it goes what came of its seats: registrations {', '.join(map(str, row['registrations']))}"
    yield f"{one} would be cancelled; nothing was changed" if dry_run else f"{one} is {row['state']}"


def _moved(done: Mapping[str, Any]) -> Iterator[str]:
    for right in done["given"]:
        until = f", until {plain(right['expires_at'])}" if right["expires_at"] else ""
        state = "is held there already" if right["held"] else "is given first"
        yield from _rights([right], f"{state}{until}")
    yield from _rights(done["taken"], "is taken away after that")
    yield from _rights(done["kept"], "stays: another purchase stands behind it")


def _rights(rows: Sequence[Mapping[str, Any]], words: str) -> Iterator[str]:
    for row in rows:
        yield f"{row['target']}: {course_of(row)} for {person_of(row)} {words}"
