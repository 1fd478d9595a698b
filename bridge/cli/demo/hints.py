"""What to try while the demo stays up: addresses, and lines that are ready to be pasted."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from bridge.cli.demo.board import Board
from bridge.cli.demo.script import UNMAPPED
from bridge.cli.demo.stage import Stage
from bridge.cli.demo.wiring import AMS_KEY, CHECKOUT_SECRET, CONSOLE_PASSWORD, CONSOLE_USER


def show_hints(console: Console, stage: Stage, board: Board) -> None:
    """Print addresses and lines to paste; nothing is wrapped, so that a line stays a line."""
    for title, lines in _sections(stage, board):
        console.print(f"\n{title}", style="bold", highlight=False, markup=False)
        for line in lines:
            console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
    console.print("\nStays up until Ctrl-C.", style="bold")


def _sections(stage: Stage, board: Board) -> Iterator[tuple[str, list[str]]]:
    hubspot = stage.emulators["hubspot"].base_url
    ids = [number for row in board.rows for number in row.registrations]
    yield "Addresses", list(_addresses(stage))
    yield "Register somebody (again and again: the id stays the same)", _register(stage.base_url)
    yield "Cancel, with the registration_id of the answer", _cancel(stage.base_url, max(ids, default=0) + 1)
    yield "A purchase by 10XPRO's HTTP GET", _get(stage.base_url)
    yield (
        "Switch HubSpot off, then register somebody else, then switch it on again",
        [
            f"""curl -s {hubspot}/_sandbox/faults -d '[{{"mode": "cut"}}]'""",
            f"curl -s {hubspot}/_sandbox/faults -d '[]'",
        ],
    )
    yield "The whole story of a purchase; what waits in quarantine", _verbs(stage)
    yield (
        f"{UNMAPPED} waits there until it is mapped. Add a [[products]] to the config, then:",
        [f"{_program()} {verb} --config {stage.config}" for verb in ("reload", f"release --product {UNMAPPED}")],
    )


def _addresses(stage: Stage) -> Iterator[str]:
    yield f"bridge      {stage.base_url}   /readyz  /metrics  /go/intro-ce"
    yield f"console     {stage.base_url}/console/   log in as {CONSOLE_USER}, password {CONSOLE_PASSWORD}"
    for name, emulator in stage.emulators.items():
        yield f"{name:<11} {emulator.base_url}/_sandbox/holdings"
    yield f"config      {stage.config}"
    yield f"ledger      {stage.ledger}"
    yield f"log         {stage.log}"


def _register(base_url: str) -> list[str]:
    return [
        f"curl -s {base_url}/api/registrations \\",
        f"""-H 'Content-Type: application/json' -d '{{"api_key": "{AMS_KEY}",""",
        '"remote_user_id": "4711", "firstname": "Mia", "lastname": "May",',
        '"email": "mia@example.org", "remote_product_id": "ABCD1234",',
        '"amount_paid": "49.90"}\'',
    ]


def _cancel(base_url: str, registration_id: int) -> list[str]:
    return [
        f"curl -s {base_url}/registrations/cancel \\",
        f"""-H 'Content-Type: application/json' -d '{{"api_key": "{AMS_KEY}",""",
        f'"registration_id": {registration_id}, "notify_cancelled_user": false}}\'',
    ]


def _get(base_url: str) -> list[str]:
    return [
        f"curl -sG {base_url}/customapi.php \\",
        f"-d 'secret={CHECKOUT_SECRET}&type=purchase&course_id=3&full_access=yes' \\",
        "-d 'email=nils@example.org&first_name=Nils&last_name=Ny'",
    ]


def _verbs(stage: Stage) -> list[str]:
    program = _program()
    return [f"{program} trace 1 --config {stage.config}", f"{program} quarantine --config {stage.config}"]


def _program() -> str:
    """Return how ``bridge`` is called from where we are."""
    if shutil.which("bridge"):
        return "bridge"
    beside, here = Path(sys.executable).with_name("bridge"), Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)
