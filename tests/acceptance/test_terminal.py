"""The command line in a terminal and out of one: completion, colours, JSON."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bridge.cli import app

_COLOUR = re.compile(rb"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7])[;m]")
_CONFIG = """
[targets.lms]
connector = "elevate"
[targets.crm]
connector = "hubspot"
[mailer]
url = "smtp://localhost"
[sources.shop]
adapter = "stripe"
"""
_PLAIN = {"PATH": os.defpath, "LANG": "C.UTF-8"}
"""An environment in which nobody has said anything of colours or of the bridge."""
_WITHOUT_JSON = {
    "demo": "a show",
    "run": "the daemon; its log is JSON",
    "console add-user": "prints the lines of the file to write",
}


def _bridge(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bridge", *words]
    return subprocess.run(command, env=_PLAIN | environment, capture_output=True, text=True, timeout=60, check=False)


def _completed(line: str, **environment: str) -> Any:
    """Ask as bash's completion function does, in this process."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_BRIDGE_COMPLETE": "complete_bash"}
    return CliRunner().invoke(app, prog_name="bridge", env=words | environment)


def _offered(line: str, **environment: str) -> set[str]:
    return set(_completed(line, **environment).stdout.split())


def test_bash_gets_a_completion_script() -> None:
    """It is printed, names the command, and is a script that bash takes."""
    made = _bridge(_BRIDGE_COMPLETE="source_bash")
    assert "complete -o default -F _bridge_completion bridge" in made.stdout
    assert subprocess.run(["bash", "-n"], input=made.stdout, text=True, check=False).returncode == 0
    assert {"--install-completion", "--show-completion"} <= {
        option for param in typer.main.get_command(app).params for option in param.opts
    }


def test_verbs_options_and_names_are_completed(tmp_path) -> None:
    """Names come from the file, and the file need not be one that the bridge could run with."""
    config = tmp_path / "bridge.toml"
    config.write_text(_CONFIG, encoding="utf-8")
    named = {"BRIDGE_CONFIG": str(config)}
    assert {"requeue", "release", "replay", "resume"} <= _offered("bridge re")
    assert _offered("bridge resume ", **named) == {"crm", "lms", "mailer"}
    assert _offered(f"bridge deliveries --config {config} --target l") == {"lms"}
    assert _offered("bridge events --source ", **named) == {"shop"}


@pytest.mark.parametrize("content", ["targets = 7", "[targets"])
def test_a_file_that_can_not_be_read_offers_nothing_and_says_nothing(tmp_path, content) -> None:
    """Whoever presses Tab gets no traceback on their line."""
    config = tmp_path / "bridge.toml"
    config.write_text(content, encoding="utf-8")
    said = _completed("bridge resume ", BRIDGE_CONFIG=str(config))
    assert (said.stdout.strip(), said.stderr) == ("", "")


def _in_a_terminal(*words: str, **environment: str) -> bytes:
    """Run a verb on a terminal of its own and return what it wrote there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bridge", *words]
    process = subprocess.Popen(
        command, stdout=theirs, stderr=theirs, env=_PLAIN | {"TERM": "xterm-256color"} | environment
    )
    os.close(theirs)
    written = b""
    try:
        while some := os.read(ours, 65_536):
            written += some
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    process.wait(60)
    return written


def test_colours_are_for_terminals_and_not_where_they_are_unwanted() -> None:
    """On a terminal there are some, with NO_COLOR none, and in a pipe no control characters at all."""
    assert _COLOUR.search(_in_a_terminal("--help"))
    plain = _in_a_terminal("--help", NO_COLOR="1")
    assert b"requeue" in plain
    assert not _COLOUR.search(plain)
    piped = _bridge("connectors")
    assert "elevate" in piped.stdout
    assert "\x1b" not in piped.stdout + piped.stderr


def _verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    if words and (not inner or getattr(command, "invoke_without_command", False)):
        yield " ".join(words), command
    for name, found in inner.items():
        yield from _verbs(found, (*words, name))


def test_every_verb_that_tells_something_tells_it_as_json_too() -> None:
    """Every list, `trace` and every action; what has no JSON says here why not."""
    lacking = {
        verb
        for verb, command in _verbs(typer.main.get_command(app))
        if not any("--json" in param.opts for param in command.params)
    }
    assert lacking == set(_WITHOUT_JSON)


def test_every_verb_option_and_argument_has_help() -> None:
    """`--help` leaves nobody guessing."""
    silent = [
        f"{verb} {param.name}"
        for verb, command in _verbs(typer.main.get_command(app))
        for param in command.params
        if not param.help
    ]
    assert silent == []
    assert [verb for verb, command in _verbs(typer.main.get_command(app)) if not command.help] == []
