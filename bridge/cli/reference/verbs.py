"""Every verb of the command line with its arguments and options, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from bridge.cli.kinds import kind_of
from bridge.cli.reference.tables import table
from bridge.cli.verbs import app


def verbs() -> Iterator[str]:
    """Yield a section for each verb."""
    root = typer.main.get_command(app)
    yield from ("### `bridge`", "", *_paragraphs(root.help), "")
    yield from _options(root)
    for words, command in walk(root):
        yield from (f"### `bridge {' '.join(words)}`", "", *_paragraphs(command.help), "")
        yield from ("```text", f"bridge {' '.join([*words, *_usage(command)])}", "```", "")
        yield from _options(command)


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every verb that does something, with its words: a group only where it is a verb itself."""
    inner = getattr(command, "commands", {})
    if words and (not inner or getattr(command, "invoke_without_command", False)):
        yield words, command
    for name, found in inner.items():
        yield from walk(found, (*words, name))


def _usage(command: Any) -> Iterator[str]:
    yield "[OPTIONS]"
    for param in command.params:
        if param.param_type_name == "argument":
            name = param.metavar or param.name.upper()
            name += "..." if param.nargs == -1 else ""
            yield name if param.required else f"[{name}]"


def _options(command: Any) -> Iterator[str]:
    rows = [_row(param) for param in command.params]
    if rows:
        yield from table(("option", "what may be written", "default", "what it does"), rows)
        yield ""


def _row(param: Any) -> tuple[str, str, str, str]:
    argument = param.param_type_name == "argument"
    names = [param.metavar or param.name.upper()] if argument else [*param.opts, *param.secondary_opts]
    environment = f" Else `${param.envvar}`." if param.envvar else ""
    return (
        ", ".join(f"`{name}`" for name in names),
        _kind(param) + (", several" if getattr(param, "multiple", False) or param.nargs == -1 else ""),
        "required" if param.required else _default(param),
        (param.help or "") + environment,
    )


def _kind(param: Any) -> str:
    if getattr(param, "is_flag", False):
        return "flag"
    limits = [f"{param.min} or more"] * (param.min is not None) + [f"{param.max} at most"] * (param.max is not None)
    return ", ".join([kind_of(param.type_descriptor.annotation), *limits])


def _default(param: Any) -> str:
    value = None if callable(param.default) else param.default
    return "" if value in (None, False, "", [], ()) else f"`{getattr(value, 'value', value)}`"


def _paragraphs(text: str | None) -> Iterator[str]:
    yield from inspect.cleandoc(text or "").splitlines()
