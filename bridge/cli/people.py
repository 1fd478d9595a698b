"""``learners``, ``merge``: who is known, who is one person with whom, and the operator's word on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import typer

from bridge.cli.control import act
from bridge.cli.given import CONFIG, AsJson, ConfigPath, DryRun, Limit, Reveal, settings_of
from bridge.cli.reading import ask
from bridge.cli.shown import course_of, person_of, show, show_json, table, veil
from bridge.ledger import identities

_COLUMNS: Final = {
    "learner_id": "id",
    "namespace": "namespace",
    "remote_user_id": "user id",
    "email": "e-mail",
    "name": "name",
    "registrations": "reg.",
    "same_as": "perhaps the same as",
}
_WHOLE: Final = ("learner_id", "namespace", "remote_user_id", "email", "registrations")


def learners(
    what: Annotated[
        str | None,
        typer.Argument(metavar="WHAT", help="An e-mail address, remote user id, learner id, or a part of a name."),
    ] = None,
    *,
    config: ConfigPath = CONFIG,
    limit: Limit = 50,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Find learners, and who may be one person with whom; without WHAT, all who share an address."""
    found = ask(settings_of(config), lambda connection: identities.learners(connection, what, limit))
    rows = veil(found, reveal=reveal)
    if as_json:
        show_json(rows)
    elif rows:
        show(table(_COLUMNS, [_row(row) for row in rows], whole=_WHOLE))
    else:
        show("none")


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    same = "; ".join(f"{twin['learner_id']}: {twin['why']}" for twin in row["twins"])
    name = " ".join(part for part in (row["first_name"], row["last_name"]) if part)
    return {**row, "name": name, "same_as": f"merged into {row['merged_into']}" if row["merged_into"] else same}


def merge(
    learner: Annotated[int, typer.Argument(metavar="FROM", help="Id of the learner who becomes the other one.")],
    into: Annotated[
        int | None, typer.Argument(metavar="INTO", help="Id of the learner whom both are; not with --undo.")
    ] = None,
    *,
    config: ConfigPath = CONFIG,
    undo: Annotated[bool, typer.Option("--undo", help="FROM was merged wrongly: give back what was theirs.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    reveal: Reveal = False,
) -> None:
    """Say that two learners are one person: INTO has everything from now on, and the account that the targets know INTO by."""
    if undo is (into is not None):
        raise typer.BadParameter("say whom to merge into whom: FROM INTO; or --undo FROM")
    arguments = {"learner": learner, "into": into, "undo": undo, "dry_run": dry_run}
    done = veil(act(settings_of(config), "merge", arguments), reveal=reveal)
    if as_json:
        show_json(done)
        return
    for sentence in _sentences(done):
        show(sentence)
    show(_said(done, dry_run=dry_run))


def _sentences(done: Mapping[str, Any]) -> Iterator[str]:
    for row in done["registrations"]:
        beside = "; the other has bought the same, and both stand" if row["beside"] else ""
        yield f"registration {row['registration_id']} ({row['source']} {row['remote_product_id']}) passes over{beside}"
    for row in done["given"]:
        state = "held there already" if row["held"] else "is given first"
        yield f"{row['target']}: {course_of(row)} for {person_of(row)} {state}"
    for row in done["taken"]:
        state = "stays: somebody else has it too" if row["kept"] else "is taken away after that"
        yield f"{row['target']}: {course_of(row)} for {person_of(row)} {state}"
    for row in done["told"]:
        yield f"{row['target']}: the contact {person_of(row)} is brought up to date"
    for row in done["left"]:
        ids = ", ".join(f"{kind} {number}" for kind, number in row["remote_ids"].items())
        yield f"{row['target']}: what stands under {person_of(row)} ({ids}) stays as it is; merge it there, if you like"


def _said(done: Mapping[str, Any], *, dry_run: bool) -> str:
    one, other = done["learner"]["learner_id"], done["into"].get("learner_id")
    if done["became"] == "unchanged":
        return "it is so already; nothing was changed"
    undone = done["became"] == "undone"
    if dry_run:
        return f"learner {one} would be {'a person of their own again' if undone else f'the same person as learner {other}'}; nothing was changed"
    if undone:
        return f"learner {one} is a person of their own again"
    return f"learner {one} is the same person as learner {other}. To take it back: bridge merge --undo {one}"
