"""Every command that the docs show is one: its verb exists, and takes these options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bridge.cli import app
from tests.architecture.source import ROOT

PAGES = sorted({*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"})
_ROOT_COMMAND = typer.main.get_command(app)
_INLINE = re.compile(r"`bridge ([a-z][^`]*)`")
_FENCE = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_END = re.compile(r"\s(?:#|&&|\||>|2>|;)|\s?[);]$")


def _shown(page: Path) -> Iterator[str]:
    """Yield what follows ``bridge`` in code, one command each."""
    text = page.read_text(encoding="utf-8")
    yield from (" ".join(found.split()) for found in _INLINE.findall(text))
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r" && ", line.split(" #")[0].strip()):
                if found := re.match(r"(?:\S*/)?bridge (.+)$", part):
                    yield found[1]


def _fault(words: str) -> str | None:
    """Return what is wrong with a command, or None."""
    parts = [part.rstrip(",;:.") for part in shlex.split(_END.split(words)[0], posix=False)]
    command: Any = _ROOT_COMMAND
    known: set[str] = set()
    while parts and parts[0] in getattr(command, "commands", {}):
        command = command.commands[parts.pop(0)]
        known |= {option for param in command.params for option in param.opts}
    if command is _ROOT_COMMAND and parts and not parts[0].startswith("-") and parts[0] != "VERB":
        return f"no such verb: {parts[0]}"
    known |= {option for param in command.params for option in param.opts}
    options = [part.split("=")[0] for part in parts if re.match(r"--?[A-Za-z]", part)]
    # `bridge seats 17` is `bridge seats show 17`
    known |= {
        option for inner in getattr(command, "commands", {}).values() for param in inner.params for option in param.opts
    }
    return next((f"no such option: {option}" for option in options if option not in known | {"--help", "-h"}), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_docs_is_one(page) -> None:
    """A reader who copies a line gets what the page promises, and no usage error."""
    assert [f"bridge {words}: {fault}" for words in _shown(page) if (fault := _fault(words))] == []


def test_a_wrong_command_is_noticed() -> None:
    """The check itself can fail, and finds commands where they stand."""
    assert _fault("requeue --target lms --dry-run") is None
    assert _fault("requeue --targets lms") == "no such option: --targets"
    assert _fault("requeu 17") == "no such verb: requeu"
    assert len(list(_shown(ROOT / "docs" / "operations.md"))) > 50
