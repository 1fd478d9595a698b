"""``bridge demo``: the whole bridge on one machine, with emulated targets, in the time it takes to watch.

::

    wiring   the configuration file that the demo writes
    stage    temporary folder, emulators, the bridge in this process
    senders  the AMS and the payment system
    script   the purchases, and what should come of them
    board    what is known of each purchase; kept true to the ledger
    view     the board, live in the terminal or line by line
    verdict  what the targets should hold against what they hold
    ending   every promise of the demo, kept or broken
    table    event, registration, holdings
    hints    addresses and lines to paste
"""

from __future__ import annotations

import asyncio
import signal

from rich.console import Console

from bridge.cli.demo.board import Board, StuckError, Watch
from bridge.cli.demo.ending import judged
from bridge.cli.demo.hints import show_hints
from bridge.cli.demo.script import Script
from bridge.cli.demo.stage import Stage
from bridge.cli.demo.table import show_checks, show_table
from bridge.cli.demo.view import LineView, LiveView
from bridge.cli.demo.wiring import TARGETS

__all__ = ["run_demo"]

_PACE = 0.4
_NO_TERMINAL = 100
_INTERRUPTED = 130


def run_demo(*, once: bool) -> int:
    """Play the demo; return 0 when every target holds what it should, else 1.

    Args:
        once: end after the table; otherwise stay up until Ctrl-C.
    """
    return asyncio.run(_demo(once=once))


async def _demo(*, once: bool) -> int:
    console = Console()
    if not console.is_terminal:
        console.width = _NO_TERMINAL
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a closed terminal cleans up, too
        loop.add_signal_handler(number, stop.set)
    async with Stage(usual_port=not once) as stage:
        board = Board(tuple(TARGETS))
        play = asyncio.create_task(_play(console, stage, board))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((play, stopped), return_when=asyncio.FIRST_COMPLETED)
        if play.done() and play.exception() is None and not once:
            show_hints(console, stage, board)
            await stopped
        play.cancel()
        stopped.cancel()
        await asyncio.gather(play, stopped, return_exceptions=True)
    return _INTERRUPTED if play.cancelled() else play.result()


async def _play(console: Console, stage: Stage, board: Board) -> int:
    console.print(f"bridge {stage.base_url}, ledger {stage.ledger}, log {stage.log.name} beside it\n", soft_wrap=True)
    stuck = None
    with LiveView(console) if console.is_terminal else LineView(console) as view:
        watch = Watch(stage, board, view)
        try:
            await Script(stage, board, watch, _PACE if console.is_terminal else 0.0).play()
        except StuckError as fault:
            stuck = str(fault)
        await watch.look()
    console.print()
    show_table(console, board, stage.holdings())
    console.print()
    checks = judged(stage, board, stuck)
    show_checks(console, checks)
    if all(check.kept for check in checks):
        return 0
    console.print("\nfrom the log:", style="bold")
    for line in stage.complaints():
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    return 1
