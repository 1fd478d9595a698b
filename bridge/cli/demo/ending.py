"""What the demo promised, held against what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.cli.demo.board import Board, Row
from bridge.cli.demo.script import ADA, EVE, FAY, GUS, HAL, IDA, JON, SHOULD, UNMAPPED
from bridge.cli.demo.senders import Person
from bridge.cli.demo.stage import Stage
from bridge.cli.demo.verdict import Check, about_holdings, differences, places


def judged(stage: Stage, board: Board, stuck: str | None) -> list[Check]:
    """Return every promise and whether it was kept. ``stuck``: what did not come about, where the play broke off."""
    found = differences(SHOULD, places(stage.holdings()))
    checks = about_holdings(found, SHOULD, IDA.email, JON.email, (HAL.email, EVE.email))
    if stuck is not None:
        return [Check("the play comes to its end", (stuck,)), *checks]
    return [*checks, *_about_calls(board)]


def _about_calls(board: Board) -> Iterator[Check]:
    wrong = [
        f"{row.story}: answered {status}, not {due}"
        for row in board.rows
        for status, due in row.answers
        if status != due
    ]
    yield Check(
        "every call is answered as it should be: 200, the unmapped product 422, the wrong key 401", tuple(wrong)
    )
    ids = [number for row in _rows(board, ADA) for number in row.registrations]
    kept = len(set(ids)) == 1 and len(ids) == len(_rows(board, ADA)) and len(_row(board, JON).registrations) == 2
    yield _says("a repeat gets the same registration, a re-purchase a new one", kept, "see the column of registrations")
    kept = [line.remote_product_id for line in board.quarantine] == [UNMAPPED]
    yield _says("the unmapped line waits in quarantine, and nothing else does", kept, "see `bridge quarantine`")
    yield _outage(board)
    again = board.failed(_row(board, GUS), "academy")
    promise = "the lost answer led to a second look, not to a second enrollment"
    yield _says(promise, again == 1, f"Academy of Mine was tried {again} times in vain")


def _outage(board: Board) -> Check:
    fay = _row(board, FAY)
    there, late = board.step(fay, "academy"), board.step(fay, "hubspot")
    if there is None or late is None or there.seconds is None or late.seconds is None:
        return Check("HubSpot's outage delays HubSpot only", ("Fay's contact did not arrive",))
    promise = (
        f"HubSpot's outage delays HubSpot only: Fay is in her course after {there.seconds:.2f} s, "
        f"in HubSpot after {late.seconds:.2f} s and {late.failed} failed tries"
    )
    return _says(promise, there.seconds < late.seconds, "Fay had to wait for HubSpot")


def _says(promise: str, kept: bool, otherwise: str) -> Check:
    return Check(promise, () if kept else (otherwise,))


def _rows(board: Board, person: Person) -> list[Row]:
    return [row for row in board.rows if row.person is person]


def _row(board: Board, person: Person) -> Row:
    return _rows(board, person)[0]
