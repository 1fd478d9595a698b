"""An operator's configuration with emulated targets in place of the real ones: what a rehearsal may run on."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any, Final

from bridge.app.mapping import quoted
from bridge.cli.describe import fields_of
from bridge.cli.given import loaded
from bridge.kit.sandbox import Emulator
from bridge.registry import Registry, connector_class

MARK: Final = "# Written by `bridge sandbox`"
"""How such a file begins: only one that does is written over."""

_HEAD: Final = f"""{MARK}, and overwritten by it. The targets are emulated, the ledger is a rehearsal's own.
# Left out, so that nobody is told of anything: [mailer], [alerts], [telemetry].
"""
_OUTSIDE: Final = ("mailer", "alerts", "telemetry")
_BARE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def tree_of(path: Path) -> dict[str, Any]:
    """Return what an operator wrote, as it stands there: nothing that it refers to is looked up.

    Raises:
        ConfigError: it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        loaded(path)  # says it with its line
        raise


def targets_of(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and connector of every target that is in use and can be emulated."""
    known = Registry().emulators()
    for name, given in _tables(tree, "targets"):
        if given.get("enabled", True) is not False and given.get("connector") in known:
            yield name, str(given["connector"])


def point_at(emulator: Emulator, connector: str) -> dict[str, Any]:
    """Return the settings that make a target this emulator."""
    return {"connector": connector, "base_url": emulator.base_url, **emulator.credentials}


def sandboxed(tree: Mapping[str, Any], folder: Path, played: Mapping[str, Emulator], ledger: Path) -> str:
    """Return a configuration that leads to emulators and to a ledger of its own.

    Args:
        tree: what the operator wrote.
        folder: where it stands; files that it names are found from anywhere then.
        played: by target; a target that is not among them is disabled.
        ledger: file of the rehearsal's ledger.
    """
    copy = {name: _placed(given, folder) for name, given in tree.items() if name not in _OUTSIDE}
    for name, given in _tables(copy, "targets"):
        if name in played:
            gone = _credentials(str(given["connector"])) | played[name].replaces
            kept = {key: value for key, value in given.items() if key not in gone}
            copy["targets"][name] = kept | point_at(played[name], str(given["connector"]))
        else:
            copy["targets"][name] = given | {"enabled": False}
    kept = copy["ledger"] if isinstance(copy.get("ledger"), dict) else {}
    copy["ledger"] = kept | {"url": f"sqlite:///{str(ledger.resolve()).replace('%', '%25')}"}
    return _HEAD + "\n" + text_of(copy)


def text_of(tree: Mapping[str, Any]) -> str:
    """Return TOML that reads as what tomllib gave."""
    return "\n".join(_lines(tree, ())).lstrip("\n") + "\n"


def line_of(name: str, value: Any) -> str:
    """Return one setting, on one line."""
    return f"{_key(name)} = {_value(value)}"


def _tables(tree: Mapping[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    found = tree.get(section)
    return (
        [(name, given) for name, given in found.items() if isinstance(given, dict)] if isinstance(found, dict) else []
    )


def _credentials(connector: str) -> set[str]:
    return {field.name for field in fields_of(connector_class(connector).Settings) if field.secret}


def _placed(value: Any, folder: Path) -> Any:
    """Let what is read from a file be found from another folder."""
    if isinstance(value, list):
        return [_placed(item, folder) for item in value]
    match value:
        case {"file": str(path)} if len(value) == 1:
            return {"file": str(folder.absolute() / path)}
        case dict():
            return {name: _placed(item, folder) for name, item in value.items()}
    return value


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    below = {name: value for name, value in table.items() if isinstance(value, dict) or _is_tables(value)}
    if path and (len(below) < len(table) or not table):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for name, value in table.items():
        if name not in below:
            yield line_of(name, value)
    for name, value in below.items():
        if isinstance(value, dict):
            yield from _lines(value, (*path, name))
            continue
        for item in value:
            yield f"\n[[{'.'.join(map(_key, (*path, name)))}]]"
            yield from (line_of(key, held) for key, held in item.items())


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _key(name: str) -> str:
    return name if name and set(name) <= _BARE else quoted(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(line_of(name, held) for name, held in value.items())} }}" if value else "{}"
    return str(value)  # integers; a float's own text is TOML's, nan and inf too
