"""``console``: who may log in to the web console."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Final, Literal

import orjson
import typer

from bridge.cli.shown import show
from bridge.edge.console import passwords

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_NAME: Final = 100

console = typer.Typer(no_args_is_help=True, help="The web console at /console/.")


@console.callback()
def _of_the_console() -> None:
    """Take no options of its own; without this a single verb would stand for all."""


@console.command("add-user")
def add_user(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the user logs in with, and actions are recorded under.")
    ],
    *,
    role: Annotated[Literal["viewer", "operator"], typer.Option("--role", help="A viewer changes nothing.")] = "viewer",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
    ] = False,
) -> None:
    """Print the lines for bridge.toml that let somebody log in. Nothing is changed; put them in, then: bridge reload."""
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise typer.BadParameter(f"a name has 1 to {_LONGEST_NAME} printable characters")
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not passwords.SHORTEST <= len(password) <= passwords.LONGEST:
        raise typer.BadParameter(f"a password has {passwords.SHORTEST} to {passwords.LONGEST} characters")
    key = name if _BARE.fullmatch(name) else orjson.dumps(name).decode()
    show(f'[console.users.{key}]\npassword = "{passwords.hashed(password)}"\nrole = "{role}"')
