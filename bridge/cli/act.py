"""``requeue``, ``retry``, ``release``, ``pause``, ``resume``, ``reload``, ``replay``: what an operator may change. Every action is recorded with its author."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.actions.deliveries import LEFT
from bridge.cli import completing
from bridge.cli.control import act
from bridge.cli.given import (
    CONFIG,
    AsJson,
    ConfigPath,
    DryRun,
    OfProduct,
    OfSource,
    OfTarget,
    expect_names,
    settings_of,
)
from bridge.cli.replaying import replayed
from bridge.cli.shown import complain, show, show_json, table
from bridge.contract.mail import MAILER

Ids = Annotated[
    list[int] | None, typer.Argument(metavar="ID", show_default=False, help="Numbers, as the lists show them.")
]
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


def requeue(
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
    as_json: AsJson = False,
) -> None:
    """Try dead letters again, with a fresh count: these deliveries, a target's, or all; with --lookups, lookups."""
    if lookups:
        _requeue_lookups(config, ids, target, source, every=every, dry_run=dry_run, as_json=as_json)
        return
    if source is not None:
        raise typer.BadParameter("--source goes with --lookups; deliveries are of a --target")
    _say_which(ids, [target], every=every, words="delivery ids, --target NAME, or --all")
    arguments = {"ids": ids or [], "target": target, "every": every, "dry_run": dry_run}
    settings = settings_of(config)
    done = act(settings, "requeue", arguments)
    if not done:
        expect_names(settings, target=target)
    columns = {
        "delivery_id": "delivery",
        "target": "target",
        "registration_id": "registration",
        "why": "why it was dead",
        "became": "becomes" if dry_run else "became",
    }
    tried = [row for row in done if not row["became"].startswith(LEFT)]
    said = "nothing to requeue" if not tried else _count(tried, "dead letter", "requeued", dry_run=dry_run)
    if left := len(done) - len(tried):
        said += f"; {left} left alone, to be done by hand and then requeued one by one"
    _told(done, columns, said, as_json=as_json)
    _stop_at(
        _missing(ids, done, "delivery_id"),
        "delivery {} is not a dead letter" + (f" of target {target}" if target else ""),
    )


def retry(
    ids: Annotated[
        list[int], typer.Argument(metavar="ID", show_default=False, help="Numbers, as `bridge deliveries` shows them.")
    ],
    *,
    config: ConfigPath = CONFIG,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Try deliveries at once that wait for their next try; the count of tries goes on. Dead letters: bridge requeue."""
    done = act(settings_of(config), "retry", {"ids": ids, "dry_run": dry_run})
    columns = {"delivery_id": "delivery", "target": "target", "registration_id": "registration", "why": "why it waits"}
    number = "1 delivery" if len(done) == 1 else f"{len(done)} deliveries"
    said = f"{number} would be tried at once; nothing was changed" if dry_run else f"{number} will be tried at once"
    _told(done, columns, said if done else "nothing to retry", as_json=as_json)
    _stop_at(
        _missing(ids, done, "delivery_id"),
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
    as_json: AsJson = False,
) -> None:
    """End dead letters for good: somebody has done at the target by hand what they ask for."""
    if not why.strip():
        raise typer.BadParameter("--why says what was done at the target instead")
    done = act(settings_of(config), "dismiss", {"ids": ids, "why": why.strip()[:500], "dry_run": dry_run})
    columns = {
        "delivery_id": "delivery",
        "target": "target",
        "registration_id": "registration",
        "why": "why it was dead",
    }
    said = _count(done, "dead letter", "dismissed", dry_run=dry_run) if done else "nothing to dismiss"
    _told(done, columns, said, as_json=as_json)
    _stop_at(_missing(ids, done, "delivery_id"), "delivery {} is not a dead letter")


def _requeue_lookups(
    path: Path,
    ids: list[int] | None,
    target: str | None,
    source: str | None,
    *,
    every: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    if target is not None:
        raise typer.BadParameter("--target goes with deliveries; lookups are of a --source")
    _say_which(ids, [source], every=every, words="lookup ids, --source NAME, or --all")
    arguments = {"ids": ids or [], "source": source, "lookups": True, "every": every, "dry_run": dry_run}
    done = act(settings_of(path), "requeue", arguments)
    columns = {"lookup_id": "lookup", "source": "source", "event_id": "event", "kind": "kind", "why": "why it was dead"}
    said = _count(done, "lookup", "requeued", dry_run=dry_run) if done else "nothing to requeue"
    _told(done, columns, said, as_json=as_json)
    _stop_at(
        _missing(ids, done, "lookup_id"), "lookup {} was not given up" + (f" at source {source}" if source else "")
    )


def release(
    ids: Ids = None,
    *,
    config: ConfigPath = CONFIG,
    source: OfSource = None,
    product: OfProduct = None,
    every: Every = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Accept quarantined lines whose product is mapped by now: these, a source's, a product's, or all."""
    _say_which(ids, [source, product], every=every, words="quarantine ids, --source NAME, --product ID, or --all")
    arguments = {"ids": ids or [], "source": source, "product": product, "every": every, "dry_run": dry_run}
    settings = settings_of(config)
    done = act(settings, "release", arguments)
    if not done:
        expect_names(settings, source=source)
    columns = {
        "quarantine_id": "line",
        "source": "source",
        "remote_product_id": "product",
        "became": "became",
        "registration_id": "registration",
        "note": "note",
    }
    released = [row for row in done if row["became"] == "released"]
    said = _count(released, "line", "released", dry_run=dry_run) if done else "nothing to release"
    _told(done, columns, said, as_json=as_json)
    still = [row["quarantine_id"] for row in done if row["became"] == "waiting"] if ids else []
    _stop_at(still, "line {} still waits")
    _stop_at(_missing(ids, done, "quarantine_id"), "line {} does not wait in quarantine, or not under these filters")


def replay(
    ids: Ids = None,
    *,
    config: ConfigPath = CONFIG,
    source: OfSource = None,
    state: Annotated[
        str | None, typer.Option("--state", help="With --source: all of its events in this state.")
    ] = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without being asked again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Understand events anew from their stored bytes, by today's adapters and mapping. What would come of it is shown first."""
    if not ids and not (source and state):
        raise typer.BadParameter("say which: event ids, or --source NAME with --state STATE")
    if as_json and not (dry_run or yes):
        raise typer.BadParameter("--json asks nobody: say --dry-run or --yes")
    settings = settings_of(config)
    arguments = {"ids": ids or [], "source": source, "state": state}
    done = [] if yes and not dry_run else replayed(settings, arguments, dry_run=True, quiet=as_json)
    if not as_json and done:
        show(table(_REPLAYED, _replay_rows(done), whole=("event_id", "became")), "")
    if not dry_run and (yes or any(row["became"] == "replayed" for row in done)):
        changing = sum(row["became"] == "replayed" for row in done)
        if not yes and not typer.confirm(f"replay {_some(changing, 'event')}?"):
            raise typer.Exit(1)
        done = replayed(settings, arguments, dry_run=False, quiet=as_json)
    _said_of_replay(done, dry_run=dry_run, as_json=as_json)
    _stop_at(_missing(ids, done, "event_id"), "there is no event {}" + (f" of source {source}" if source else ""))
    _stop_at([row["event_id"] for row in done if row["became"] == "impossible"], "event {} can't be replayed")


_REPLAYED = {"event_id": "event", "source": "source", "became": "becomes", "what": "what changes", "note": "note"}


def _replay_rows(done: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [{**row, "what": "; ".join(_changes(row)) or "nothing"} for row in done]


def _changes(row: Mapping[str, Any]) -> Iterator[str]:
    for one in row["effects"]:
        before = f"{one['before']}, now " if one["before"] else ""
        yield f"registration {one['registration_id']} ({one['remote_product_id']}): {before}{one['after']}"
    if row["opened"]:
        yield f"work for {', '.join(row['opened'])}"
    if row["unmapped"]:
        yield f"{_some(row['unmapped'], 'line')} for the quarantine"
    if row["lookups"]:
        yield f"the sender is asked again: {_some(row['lookups'], 'question')}"


def _said_of_replay(done: Sequence[Mapping[str, Any]], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        show_json(done)
        return
    changed = [row for row in done if row["became"] == "replayed"]
    show(
        _count(changed, "event", "replayed", dry_run=dry_run)
        if changed
        else "nothing would change"
        if dry_run
        else "nothing to replay"
    )


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


def _count(rows: Sequence[Any], what: str, verb: str, *, dry_run: bool) -> str:
    number = _some(len(rows), what)
    return f"{number} would be {verb}; nothing was changed" if dry_run else f"{number} {verb}"


def _some(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _told(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], said: str, *, as_json: bool) -> None:
    if as_json:
        show_json(rows)
        return
    if rows:
        show(table(columns, rows, whole=("delivery_id", "quarantine_id", "registration_id", "became")), "")
    show(said)


def _missing(ids: Iterable[int] | None, rows: Iterable[Mapping[str, Any]], key: str) -> list[int]:
    found = {row[key] for row in rows}
    return [number for number in dict.fromkeys(ids or ()) if number not in found]


def _stop_at(wrong: Sequence[int], words: str) -> None:
    for number in wrong:
        complain(words.format(number))
    if wrong:
        raise typer.Exit(1)
