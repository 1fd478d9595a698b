"""The purchases as they happen: a table that lives in a terminal, lines where the output goes elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bridge.cli.demo.board import Board, Row
from bridge.ledger.progress import Standing, Step

WIDE = 98
"""Columns from which on there is room for everything."""

_NEWS = 3
_LEGEND = "· waits  … in flight  ↻n n tries failed  ✓ held  ○ taken away  ✗ dead letter"
_HEADS = {"hubspot": "hub-\nspot", "salesforce": "sales-\nforce", "mailchimp": "mail-\nchimp"}
_STATES = {"active": "green", "cancelled": "magenta", "failed": "bold red"}


def symbol(step: Step | None) -> Text:
    """Return how far a target is, as one sign."""
    if step is None:
        return Text("")
    match step.standing:
        case Standing.DEAD:
            return Text("✗", "bold red")
        case Standing.IN_FLIGHT:
            return Text("…", "cyan")
        case Standing.DONE:
            return Text("✓", "green") if step.held else Text("○", "magenta")
        case _:
            return Text(f"↻{step.failed}", "yellow") if step.failed else Text("·", "dim")


def registration(board: Board, row: Row) -> Text:
    """Return the row's latest registration with its state; where there is none, what became of the call."""
    known = board.of(row)
    if known is not None:
        return Text(f"{known.registration_id} {known.state}", _STATES.get(known.state, "yellow"))
    if row.registration is not None or not row.answers:
        return Text("…", "dim")
    return Text("quarantine", "yellow") if row.answers[-1][0] == 422 else Text("not kept", "red")


class LiveView:
    """A table in the terminal, redrawn in place."""

    def __init__(self, console: Console) -> None:
        """Draw on ``console``."""
        self._console = console
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        """Leave the last picture standing."""
        self._live.stop()

    def show(self, board: Board) -> None:
        """Draw the board."""
        news = [
            Text(f"{one.seconds:5.1f} s  {one.text}", "dim", no_wrap=True, overflow="ellipsis")
            for one in board.news[-_NEWS:]
        ]
        legend = Text(_LEGEND, "dim", no_wrap=True, overflow="ellipsis")
        self._live.update(Group(self._table(board), legend, *news), refresh=True)

    def _table(self, board: Board) -> Table:
        wide = self._console.width >= WIDE
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, int(wide), 0, 0))
        table.add_column("purchase", no_wrap=True, overflow="ellipsis", min_width=20)
        if wide:
            table.add_column("sent by", no_wrap=True)
        table.add_column("HTTP", no_wrap=True, justify="right")
        table.add_column("registration", no_wrap=True)
        for target in board.targets:
            table.add_column(_HEADS.get(target, target), justify="center", no_wrap=True)
        for row in board.rows:
            road = (Text(row.road, "dim"),) if wide else ()
            cells = (symbol(board.step(row, target)) for target in board.targets)
            table.add_row(Text(row.story), *road, _status(row), registration(board, row), *cells)
        return table


class LineView:
    """A line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        """Write to ``console``."""
        self._console = console
        self._told = 0
        self._shown: dict[int, tuple[str, ...]] = {}

    def __enter__(self) -> Self:
        """Nothing is to be taken."""
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is to be given back."""

    def show(self, board: Board) -> None:
        """Write what is new since the last time."""
        for one in board.news[self._told :]:
            self._line(one.seconds, one.text)
        self._told = len(board.news)
        for number, row in enumerate(board.rows):
            now = _cells(board, row)
            before = self._shown.get(number, ("",) * len(now))
            changed = [cell for cell, former in zip(now, before, strict=True) if cell and cell != former]
            if changed and not row.repeated:  # the row it repeats tells the same
                self._line(board.seconds, f"    {row.person.first}: {', '.join(changed)}")
            self._shown[number] = now

    def _line(self, seconds: float, text: str) -> None:
        self._console.print(f"{seconds:6.2f} s  {text}", soft_wrap=True, highlight=False, markup=False)


def _status(row: Row) -> Text:
    if not row.answers:
        return Text("")
    status, due = row.answers[-1]
    return Text(str(status), "green" if status == 200 else "yellow" if status == due else "bold red")


def _cells(board: Board, row: Row) -> tuple[str, ...]:
    known = board.of(row)
    state = f"registration {known.registration_id} {known.state}" if known is not None else ""
    cells = ((target, symbol(board.step(row, target)).plain) for target in board.targets)
    # What waits and what is in flight passes too quickly to be a line of its own.
    return (state, *(f"{target} {sign}" if sign not in ("", "·", "…") else "" for target, sign in cells))
