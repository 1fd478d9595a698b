"""``python -m benchmarks``: every measurement in one run, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import accept, backlog, deliver, idle, many, overview, scale, size
from benchmarks.daemon import BridgeEnded


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Ratios of the hot path, taken in one run.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each accept measurement")
    parser.add_argument("--deliveries", type=int, default=3000, help="of each delivery measurement")
    parser.add_argument("--purchases", type=int, default=200, help="sent one by one to an idle bridge")
    parser.add_argument("--backlog", type=int, default=30_000, help="contacts that wait for HubSpot; 0 leaves it out")
    parser.add_argument("--rows", type=int, default=1_000_000, help="registrations of a large ledger; 0 leaves it out")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--many",
        type=float,
        metavar="MINUTES",
        help="instead: three bridges on one PostgreSQL, in every trouble there is",
    )
    parser.add_argument(
        "--scale",
        action="store_true",
        help="instead: several bridges on one PostgreSQL, by --rounds, --seconds and --deliveries",
    )
    parser.add_argument(
        "--overview",
        action="store_true",
        help="instead: the console's overview, with --rows registrations and with none",
    )
    chosen = parser.parse_args()
    try:
        _measure(chosen)
    except BridgeEnded as ended:
        print(ended, file=sys.stderr)
        sys.exit(ended.code)


def _measure(chosen: argparse.Namespace) -> None:
    if chosen.many:
        _many(chosen.many)
        return
    if chosen.scale:
        _scale(chosen)
        return
    if chosen.overview:
        _overview(chosen.rows, as_json=chosen.json)
        return
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True)
    ) as progress:
        task = progress.add_task("starting", total=None)
        advance = lambda text: progress.update(task, description=text)  # noqa: E731 - one line says it
        accepts = accept.measure(chosen.rounds, chosen.seconds, advance)
        deliveries = deliver.measure(chosen.rounds, chosen.deliveries, advance)
        soon = idle.measure(chosen.purchases, advance)
        drained = backlog.measure(chosen.backlog, advance) if chosen.backlog else {}
        grown = size.measure(chosen.rows, advance) if chosen.rows else {}
    if chosen.json:
        print(
            json.dumps(
                {"accept": accepts, "deliver": deliveries, "idle": soon, "backlog": drained, "size": grown}, indent=2
            )
        )
    else:
        console = Console()
        _show_accepts(console, accepts)
        _show_deliveries(console, deliveries, soon)
        _show_backlog(console, drained)
        _show_size(console, grown)


def _many(minutes: float) -> None:
    found = many.measure(minutes * 60, Console(stderr=True).print)
    print(json.dumps(found, indent=2))
    sys.exit(1 if found["wrong"] else 0)


def _scale(chosen: argparse.Namespace) -> None:
    say = Console(stderr=True).print
    found = scale.measure(chosen.rounds, chosen.seconds, chosen.deliveries, say)
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    table = _table("Several bridges on one PostgreSQL")
    for name in ("measured", "wanted"):
        table.add_column(name, justify="right")
    accepts, two, flight = (found[name] for name in ("accept", "two", "flight"))
    rates = f"{accepts['postgresql_per_second']:.0f} / {accepts['nothing_per_second']:.0f} a second"
    table.add_row("accepts, over the handler without a ledger", f"{accepts['ratio']:.2f} ({rates})", "≥ 0.75")
    alone = f"{accepts['event_ratio']:.2f} ({accepts['event_per_second']:.0f} a second)"
    table.add_row("the same, with one row: the event alone", alone, "")
    rates = f"{two['two_per_second']:.0f} / {two['one_per_second']:.0f} a second"
    table.add_row("deliveries of two bridges over one", f"{two['ratio']:.2f} ({rates})", "≥ 1.9")
    table.add_row("requests in flight out of one bridge", f"{flight['peak']:.0f}", "≥ 1000")
    for window, limit in ((10, found["vendor"]), (1, found["second"])):
        table.add_row(f"of 100 requests in {window} s that five bridges share", f"{limit['used']:.1%}", "≥ 95%")
        table.add_row("requests beyond it", f"{limit['exceeded']:.0f}", "0")
    Console().print(table)


def _overview(rows: int, *, as_json: bool) -> None:
    found = overview.measure(rows, Console(stderr=True).print)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = _table(f"The console's overview with {rows:,} registrations, and with none")
    for name in ("empty ms", "large ms", "ratio"):
        table.add_column(name, justify="right")
    for text, one in (
        ("the first view after the start", "first"),
        ("a later view, median", "median"),
        ("the slowest of them", "slowest"),
        ("behind it: the first look at the ledger", "first_look"),
        ("behind it: a later look, median", "look"),
    ):
        empty, large = found[f"empty_{one}"], found[f"large_{one}"]
        table.add_row(text, f"{empty:.1f}", f"{large:.1f}", f"{large / empty:.2f}")
    Console().print(table)


_NAMES = {
    "bare": "bare aiohttp",
    "nothing": "ours, no ledger",
    "event": "ours, one row: the event alone",
    "sqlite": "ours, durable",
    "single": "ours, ungrouped",
}
_WHERE = {"": "one core", "2": "two cores", "half": "half load"}


def _show_accepts(console: Console, accepts: dict[str, dict[str, float]]) -> None:
    table = _table(f"Accepts of signed webhooks: {accept.CONNECTIONS} connections, medians")
    for name in ("", "per second", "p50 ms", "p99 ms", "µs CPU", "of no ledger", "p99 of no ledger"):
        table.add_column(name, justify="right")
    for kind in sorted(accepts, key=lambda kind: list(_WHERE).index(kind.partition("/")[2])):
        row, (name, _, where) = accepts[kind], kind.partition("/")
        base = accepts[f"nothing/{where}" if where else "nothing"]
        table.add_row(
            _NAMES[name],
            _WHERE[where],
            f"{row['per_second']:.0f}",
            *(f"{row[one]:.1f}" for one in ("p50_ms", "p99_ms")),
            f"{row['cpu_us']:.0f}",
            f"{row['per_second'] / base['per_second']:.0%}",
            f"{row['p99_ms'] / base['p99_ms']:.1f}",
        )
    console.print(table)


def _show_deliveries(console: Console, deliveries: dict[str, float], soon: dict[str, float]) -> None:
    table = _table(f"Deliveries: {deliver.CONCURRENCY} at once, client on one core, medians")
    for name in ("to", "per second", "of bare"):
        table.add_column(name, justify="right")
    for way, rate in deliveries.items():
        target, _, how = way.partition("/")
        name = "bare client loop, same calls" if how == "bare" else "a lane: claim, deliver, settle"
        table.add_row(name, target, f"{rate:.0f}", f"{rate / deliveries[f'{target}/bare']:.0%}")
    console.print(table)
    table = _table("An idle bridge: one purchase at a time, medians")
    for name in ("ms", "of bare"):
        table.add_column(name, justify="right")
    texts = (
        "one bare request to the LMS",
        "from sending a purchase until the LMS has it",
        "from its answer until then",
    )
    for text, one in zip(texts, ("bare_ms", "sent_ms", "answered_ms"), strict=True):
        table.add_row(text, f"{soon[one]:.2f}", f"{soon[one] / soon['bare_ms']:.1f}")
    console.print(table)


def _show_backlog(console: Console, drained: dict[str, float]) -> None:
    if not drained:
        return
    table = _table("A backlog of contacts, under a limit of 100 requests in 10 s that the vendor enforces")
    for name in ("contacts", "requests", "refused", "seconds", "of limit x batch"):
        table.add_column(name, justify="right")
    counts = [f"{drained[name]:.0f}" for name in ("contacts", "requests", "refused", "seconds")]
    table.add_row("HubSpot, 100 a request", *counts, f"{drained['share']:.1%}")
    console.print(table)


def _show_size(console: Console, grown: dict[str, float]) -> None:
    if not grown:
        return
    table = _table(f"A ledger with {grown['rows']:,.0f} registrations, over an empty one")
    for name in ("accept", "claim", "start", "memory"):
        table.add_column(name, justify="right")
    table.add_row("ratio", *(f"{grown[name]:.2f}" for name in ("accept", "claim", "start", "memory")))
    console.print(table)


def _table(title: str) -> Table:
    table = Table(title=title)
    table.add_column("", no_wrap=True)
    return table


if __name__ == "__main__":
    main()
