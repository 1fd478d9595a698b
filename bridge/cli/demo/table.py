"""The last table: event, registration, and what each target holds for the person, with remote ids and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.cli.demo.board import Board, Row
from bridge.cli.demo.senders import Person
from bridge.cli.demo.verdict import Check, mark
from bridge.cli.demo.view import WIDE
from bridge.kit.sandbox import Holding

_NARROW_ID = 18  # Salesforce's ids fit, Mailchimp's hashes tell enough by their beginning


def show_table(console: Console, board: Board, holdings: Mapping[str, Sequence[Holding]]) -> None:
    """Print a line for each thing that a target holds, grouped by person."""
    wide = console.width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    for name in ("who", "event", "registration", "target", "holds"):
        table.add_column(name, no_wrap=True)
    table.add_column("remote id", no_wrap=True)
    table.add_column("after", no_wrap=True, justify="right")
    for person in dict.fromkeys(row.person for row in board.rows):
        rows = [row for row in board.rows if row.person is person]
        held = _held(rows[-1], board, holdings, wide=wide)
        columns = ([person.first], _events(rows, board, wide=wide), _registrations(rows, board))
        stacked = (Text("\n").join(Text(line) for line in column) for column in columns)
        table.add_row(*stacked, *(Text("\n").join(column) for column in zip(*held, strict=True)), end_section=True)
    console.print(table)
    console.print(Text("○ access was taken away; after: from the last call to the target's confirmation", "dim"))


def show_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print every promise, and under each that was broken what speaks against it."""
    for check in checks:
        sign, style = ("✓", "green") if check.kept else ("✗", "bold red")
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_row(Text(sign, style), Text(check.promise, "" if check.kept else style))
        console.print(line)
        for fault in check.faults:
            console.print(f"    {fault}", style="red", highlight=False, markup=False)


def _events(rows: Sequence[Row], board: Board, *, wide: bool) -> list[str]:
    known = [board.progress[number] for row in rows for number in row.registrations if number in board.progress]
    effects = {event: effect for one in known for event, effect in one.events}
    if not effects:
        effects = {line.event_id: "unmapped" for line in board.quarantine if rows[0].answers[-1][0] == 422}
    return [f"{event} {effect}" if wide else str(event) for event, effect in sorted(effects.items())] or ["none"]


def _registrations(rows: Sequence[Row], board: Board) -> list[str]:
    ids = dict.fromkeys(number for row in rows for number in row.registrations)
    lines = [f"{number} {board.progress[number].state}" for number in ids if number in board.progress]
    if not lines and rows[0].answers[-1:] and rows[0].answers[-1][0] == 422:
        return ["quarantine"]
    return lines or ["none"]


def _held(
    row: Row, board: Board, holdings: Mapping[str, Sequence[Holding]], *, wide: bool
) -> list[tuple[Text, Text, Text, Text]]:
    lines = []
    for target, held in holdings.items():
        step = board.step(row, target)
        after = f"{step.seconds:.2f} s" if step is not None and step.seconds is not None else ""
        for one in _of(row.person, held):
            sign, style = ("", "") if one.live else ("○ ", "magenta")
            remote_id = one.remote_id if wide or len(one.remote_id) <= _NARROW_ID else one.remote_id[:_NARROW_ID] + "…"
            lines.append((Text(target), Text(sign + mark(target, one), style), Text(remote_id, style), Text(after)))
    return lines or [(Text("nowhere", "dim"), Text(""), Text(""), Text(""))]


def _of(person: Person, held: Sequence[Holding]) -> list[Holding]:
    return [one for one in held if one.person.lower() == person.email]
