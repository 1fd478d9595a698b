"""``requeue``, ``retry``, ``dismiss``, ``release``, ``pause``, ``resume``, ``reload``: what an operator may change. Every action is recorded with its author."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from bridge.actions.deliveries import LEFT
from bridge.cli import completing
from bridge.cli.control import act
from bridge.cli.given import (
    CONFIG,
    AsJson,
    ConfigPath,
    DryRun,
    Ids,
    OfProduct,
    OfSource,
    OfTarget,
    expect_names,
    settings_of,
)
from bridge.cli.shown import show, show_json
from bridge.cli.told import Alike, AllLines, count, missing, stop_at, tell
from bridge.contract.mail import MAILER

Every = Annotated[bool, typer.Option("--all", help="All there are.")]
Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="Name of the target, as in the table targets.NAME.",
        autocompletion=completing.targets,
    ),
]
Why = Annotated[str, typer.Option("--why", help="Kept with the action, for whoever reads it later.")]

_DELIVERIES: Final = {"delivery_id": "delivery", "target": "target", "registration_id": "registration"}
# Of one remedy, what the target said may name each learner.
_OF_DELIVERIES: Final = ("target", "remedy")


def requeue(  # noqa: PLR0913 - a parameter an option
    ids: Ids = None,
    *,
    config: ConfigPath = CONFIG,
    target: OfTarget = None,
    source: OfSource = None,
    lookups: Annotated[
        bool, typer.Option("--lookups", help="Lookups that were given up, instead of deliveries.")
    ] = False,
    every: Every = False,
    dry_run: DryRun = False,
    all_lines: AllLines = False,
    as_json: AsJson = False,
) -> None:
    """Try dead letters again, with a fresh count: these deliveries, a target's, or all; with --lookups, lookups."""
    if lookups:
        _requeue_lookups(
            config, ids, target, source, every=every, dry_run=dry_run, all_lines=all_lines, as_json=as_json
        )
        return
    if source is not None:
        raise typer.BadParameter("--source goes with --lookups; deliveries are of a --target")
    _say_which(ids, [target], every=every, words="delivery ids, --target NAME, or --all")
    arguments = {"ids": ids or [], "target": target, "every": every, "dry_run": dry_run}
    settings = settings_of(config)
    done = act(settings, "requeue", arguments)
    if not done:
        expect_names(settings, target=target)
    alike = {"target": "target", "why": "why it was dead", "became": "becomes" if dry_run else "became"}
    tried = [row for row in done if not row["became"].startswith(LEFT)]
    said = "nothing to requeue" if not tried else count(tried, "dead letter", "requeued", dry_run=dry_run)
    if left := len(done) - len(tried):
        said += f"; {left} left alone, to be done by hand and then requeued one by one"
    kinds = Alike((*_OF_DELIVERIES, "became"), alike)
    tell(done, _DELIVERIES | alike, kinds, said=said, as_json=as_json, all_lines=all_lines)
    stop_at(
        missing(ids, done, "delivery_id"),
        "delivery {} is not a dead letter" + (f" of target {target}" if target else ""),
    )


def retry(
    ids: Annotated[
        list[int], typer.Argument(metavar="ID", show_default=False, help="Numbers, as `bridge deliveries` shows them.")
    ],
    *,
    config: ConfigPath = CONFIG,
    dry_run: DryRun = False,
    all_lines: AllLines = False,
    as_json: AsJson = False,
) -> None:
    """Try deliveries at once that wait for their next try; the count of tries goes on. Dead letters: bridge requeue."""
    done = act(settings_of(config), "retry", {"ids": ids, "dry_run": dry_run})
    alike = {"target": "target", "why": "why it waits"}
    number = "1 delivery" if len(done) == 1 else f"{len(done)} deliveries"
    said = f"{number} would be tried at once; nothing was changed" if dry_run else f"{number} will be tried at once"
    said = said if done else "nothing to retry"
    tell(done, _DELIVERIES | alike, Alike(_OF_DELIVERIES, alike), said=said, as_json=as_json, all_lines=all_lines)
    stop_at(
        missing(ids, done, "delivery_id"),
        "delivery {0} does not wait for its next try; bridge deliveries show {0} says where it stands",
    )


def dismiss(
    ids: Annotated[
        list[int], typer.Argument(metavar="ID", show_default=False, help="Numbers, as `bridge deliveries` shows them.")
    ],
    *,
    config: ConfigPath = CONFIG,
    why: Annotated[str, typer.Option("--why", help="What was done at the target instead; kept with the delivery.")],
    dry_run: DryRun = False,
    all_lines: AllLines = False,
    as_json: AsJson = False,
) -> None:
    """End dead letters for good: somebody has done at the target by hand what they ask for."""
    if not why.strip():
        raise typer.BadParameter("--why says what was done at the target instead")
    done = act(settings_of(config), "dismiss", {"ids": ids, "why": why.strip()[:500], "dry_run": dry_run})
    alike = {"target": "target", "why": "why it was dead"}
    said = count(done, "dead letter", "dismissed", dry_run=dry_run) if done else "nothing to dismiss"
    tell(done, _DELIVERIES | alike, Alike(_OF_DELIVERIES, alike), said=said, as_json=as_json, all_lines=all_lines)
    stop_at(missing(ids, done, "delivery_id"), "delivery {} is not a dead letter")


def _requeue_lookups(
    path: Path,
    ids: list[int] | None,
    target: str | None,
    source: str | None,
    *,
    every: bool,
    dry_run: bool,
    all_lines: bool,
    as_json: bool,
) -> None:
    if target is not None:
        raise typer.BadParameter("--target goes with deliveries; lookups are of a --source")
    _say_which(ids, [source], every=every, words="lookup ids, --source NAME, or --all")
    arguments = {"ids": ids or [], "source": source, "lookups": True, "every": every, "dry_run": dry_run}
    done = act(settings_of(path), "requeue", arguments)
    alike = {"source": "source", "kind": "kind", "why": "why it was dead"}
    columns = {"lookup_id": "lookup", "event_id": "event"} | alike
    said = count(done, "lookup", "requeued", dry_run=dry_run) if done else "nothing to requeue"
    tell(done, columns, Alike((*alike,), alike), said=said, as_json=as_json, all_lines=all_lines)
    stop_at(missing(ids, done, "lookup_id"), "lookup {} was not given up" + (f" at source {source}" if source else ""))


def release(
    ids: Ids = None,
    *,
    config: ConfigPath = CONFIG,
    source: OfSource = None,
    product: OfProduct = None,
    every: Every = False,
    dry_run: DryRun = False,
    all_lines: AllLines = False,
    as_json: AsJson = False,
) -> None:
    """Accept quarantined lines whose product is mapped by now: these, a source's, a product's, or all."""
    _say_which(ids, [source, product], every=every, words="quarantine ids, --source NAME, --product ID, or --all")
    arguments = {"ids": ids or [], "source": source, "product": product, "every": every, "dry_run": dry_run}
    settings = settings_of(config)
    done = act(settings, "release", arguments)
    if not done:
        expect_names(settings, source=source)
    alike = {
        "source": "source",
        "remote_product_id": "product",
        "became": "becomes" if dry_run else "became",
        "note": "note",
    }
    columns = {"quarantine_id": "line", **alike, "registration_id": "registration"}
    released = [row for row in done if row["became"] == "released"]
    said = count(released, "line", "released", dry_run=dry_run) if done else "nothing to release"
    waiting = [row["quarantine_id"] for row in done if row["became"] == "waiting"]
    said += f"; {len(waiting)} go on waiting" if waiting else ""
    tell(done, columns, Alike((*alike,), alike), said=said, as_json=as_json, all_lines=all_lines)
    stop_at(waiting if ids else [], "line {} still waits")
    stop_at(missing(ids, done, "quarantine_id"), "line {} does not wait in quarantine, or not under these filters")


def pause(target: Target, *, config: ConfigPath = CONFIG, why: Why = "", as_json: AsJson = False) -> None:
    """Stop a target's lane until it is resumed; what is queued stays, what is under way ends."""
    _switch(config, "pause", target, why, as_json=as_json)


def resume(target: Target, *, config: ConfigPath = CONFIG, why: Why = "", as_json: AsJson = False) -> None:
    """Let a target's lane go on."""
    _switch(config, "resume", target, why, as_json=as_json)


def reload(*, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """Let the running daemon read its configuration again: sources, targets, courses and products. A bad file changes nothing."""
    done = act(settings_of(config), "reload", {})
    if as_json:
        show_json(done)
        return
    for what in ("added", "removed"):
        for kind, names in done[what].items():
            show(f"{kind} {what}: {', '.join(names)}")
    if done["changed_targets"]:
        show(f"targets with other settings: {', '.join(done['changed_targets'])}")
    mapping = "another one now" if done["mapping_changed"] else "as it was"
    show(f"{config} is in force; what is sold and where it opens is {mapping}")


def _switch(path: Path, action: str, target: str, why: str, *, as_json: bool) -> None:
    settings = settings_of(path)
    known = sorted(name for name, given in settings.targets.items() if given.enabled)
    known += [MAILER] if settings.mailer is not None else []
    if target not in known:
        raise typer.BadParameter(f"there is no target '{target}'; there are {', '.join(known) or 'none'}")
    done = act(settings, action, {"target": target, "why": why})
    if as_json:
        show_json(done)
    elif done["paused"]:
        show(f"{target} is paused; what comes for it waits. To go on: bridge resume {target}")
    else:
        show(f"{target} goes on" if done["was_paused"] else f"{target} was not paused by anybody")


def _say_which(ids: Sequence[int] | None, filters: Sequence[str | None], *, every: bool, words: str) -> None:
    narrowed = bool(ids) or any(given is not None for given in filters)
    if narrowed and every:
        raise typer.BadParameter(f"--all goes with no other choice: say {words}")
    if not narrowed and not every:
        raise typer.BadParameter(f"say which: {words}")
