"""``bridge sandbox``: emulated targets that stay up, and a configuration that leads to them instead of to the real ones."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from bridge.app.doctor import tables_of
from bridge.cli import completing
from bridge.cli.example import example_course
from bridge.cli.given import CONFIG, AsJson, ConfigPath, settings_of
from bridge.cli.sandboxed import MARK, line_of, point_at, sandboxed, targets_of, text_of, tree_of
from bridge.cli.shown import show, show_json, table
from bridge.contract.errors import BridgeError, ConfigError, Fault
from bridge.kit.sandbox import Emulator
from bridge.registry import Registry, connector_class, emulator_class

_FAULT = '[{"mode": "status", "status": 503}]'


class SandboxRefused(BridgeError):
    """The emulators can't listen there, or the file that was to be written is somebody's own."""


def sandbox(
    connector: Annotated[
        str | None,
        typer.Argument(
            metavar="CONNECTOR",
            help="Type of one target, as `bridge connectors` lists it; without, every target of the configuration.",
            autocompletion=completing.emulators,
        ),
    ] = None,
    *,
    config: ConfigPath = CONFIG,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65_535, help="Of the first; each other has the next one. Else free ones."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", "-w", metavar="PATH", help="Write the configuration there, with the emulated targets in it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Emulate the targets of the configuration, or one of a CONNECTOR, on this machine until Ctrl-C; what they hold is gone then.

    Shows the lines of TOML that point a target at each. With --write, a copy of the configuration that leads to all of them
    and to a ledger of its own, for `bridge run`, `bridge doctor` and every other verb; [mailer] and [alerts] are left out.
    """
    if connector is not None:
        if connector not in Registry().emulators():
            known = ", ".join(Registry().emulators())
            raise typer.BadParameter(f"no target of type '{connector}' can be emulated; expected one of {known}")
        if write is not None:
            raise typer.BadParameter("--write goes with all targets of the configuration: leave CONNECTOR out")
        asyncio.run(_play({connector: connector}, port, None, as_json=as_json))
        return
    tree = tree_of(config)
    kinds = dict(targets_of(tree))
    if not kinds:
        raise typer.BadParameter(f"{config} has no target that can be emulated; say which CONNECTOR")
    if write is not None:
        _expect_ours(write, config)
    asyncio.run(_play(kinds, port, _Copy(tree, config, write), as_json=as_json))


class _Copy:
    """The operator's configuration, to be copied; ``path``: where to, if anywhere."""

    def __init__(self, tree: Mapping[str, Any], config: Path, path: Path | None) -> None:
        self._tree = tree
        self._config = config
        self.path = path

    @property
    def ledger(self) -> Path:
        # Of a name that no real ledger has: `bridge.toml` may be written beside the `bridge.db` of somebody else.
        path = self.path or self._config
        return path.with_name(f"{path.stem}.sandbox.db")

    def make(self, played: Mapping[str, Emulator]) -> None:
        """Let the emulators have what the configuration names, and write the copy.

        Raises:
            ConfigError: it can't be used, though its targets are emulated.
        """
        text = sandboxed(self._tree, self._config.parent, played, self.ledger)
        with TemporaryDirectory(prefix="bridge-sandbox-") as folder:
            copy = Path(folder) / "bridge.toml"
            _write(copy, text)
            try:
                settings = settings_of(copy)
            except ConfigError as fault:  # its lines are the copy's
                faults = [Fault(one.where, one.message) for one in fault.faults]
                raise ConfigError(faults, str(self._config)) from None
        for name, emulator in played.items():
            given = settings.targets[name]
            emulator.accommodate(given, tables_of(settings, name, connector_class(given.connector)))
        if self.path is not None:
            try:
                _write(self.path, text)
            except OSError as fault:
                raise SandboxRefused(f"{self.path} can't be written: {fault.strerror}") from None


def _write(path: Path, text: str) -> None:
    """Write what may hold secrets, for this user alone."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")


def _expect_ours(path: Path, config: Path) -> None:
    """Let nobody lose a configuration of their own."""
    try:
        ours = not path.exists() or (not path.samefile(config) and path.read_text("utf-8", "replace").startswith(MARK))
    except OSError:
        ours = False
    if not ours:
        raise SandboxRefused(f"{path} was not written by `bridge sandbox`; name another file")


async def _play(kinds: Mapping[str, str], port: int | None, copy: _Copy | None, *, as_json: bool) -> None:
    stopping = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    async with _started(kinds, port) as played:
        if copy is not None:
            await asyncio.to_thread(copy.make, played)
        if as_json:
            show_json(_told(kinds, played, copy))
        else:
            _show(kinds, played, copy)
        await stopping.wait()


@asynccontextmanager
async def _started(kinds: Mapping[str, str], port: int | None) -> AsyncIterator[dict[str, Emulator]]:
    played: dict[str, Emulator] = {}
    try:
        for number, (name, kind) in enumerate(kinds.items()):
            played[name] = emulator_class(kind)()
            await _listen(played[name], 0 if port is None else port + number)
        yield played
    finally:
        for emulator in played.values():
            await emulator.stop()


async def _listen(emulator: Emulator, port: int) -> None:
    try:
        await emulator.start(port)
    except (OSError, OverflowError) as fault:
        why = os.strerror(fault.errno or 0) if isinstance(fault, OSError) else "there is no such port"
        taken = isinstance(fault, OSError) and fault.errno == errno.EADDRINUSE
        remedy = "stop what listens there, or give another --port" if taken else "give another --port"
        raise SandboxRefused(f"can't listen on 127.0.0.1:{port}: {why}; {remedy}") from None


def _told(kinds: Mapping[str, str], played: Mapping[str, Emulator], copy: _Copy | None) -> dict[str, Any]:
    written = copy is not None and copy.path is not None
    return {
        "targets": [
            {"target": name, "connector": kinds[name], "base_url": one.base_url, "settings": point_at(one, kinds[name])}
            for name, one in played.items()
        ],
        "written": str(copy.path) if copy is not None and written else None,
        "ledger": str(copy.ledger) if copy is not None and written else None,
    }


def _show(kinds: Mapping[str, str], played: Mapping[str, Emulator], copy: _Copy | None) -> None:
    rows = [{"target": name, "connector": kinds[name], "at": one.base_url} for name, one in played.items()]
    show(table({"target": "target", "connector": "connector", "at": "emulated at"}, rows, whole=("target", "at")), "")
    if copy is not None and copy.path is not None:
        show(*_of_copy(copy, copy.path), "")
    else:
        show("to point a target there, what its table has to say:", "")
        for name, one in played.items():
            show(text_of({"targets": {name: point_at(one, kinds[name])}}).rstrip())
            show(*(_of_course(name, kinds[name], one) if copy is None else ()), "")
    if len(played) > 1:
        show(f"of {next(iter(played))}; the others have the same, each below its own address:")
    show(*_hints(next(iter(played.values())).base_url))


def _of_copy(copy: _Copy, path: Path) -> Iterable[str]:
    yield f"written: {path}. In another terminal:"
    yield f"  bridge doctor --fix --config {path}"
    yield f"  bridge run --config {path}"
    if copy.ledger.exists():
        yield ""
        yield f"{copy.ledger} knows of a rehearsal whose targets are gone: remove it to begin anew"


def _of_course(name: str, connector: str, emulator: Emulator) -> Iterable[str]:
    """Yield the table of a course that a new emulator knows."""
    if (model := connector_class(connector).Course) is not None and (
        course := emulator.course or example_course(model)
    ):
        yield f"# in a course, for example: {line_of(name, course)}"


def _hints(base_url: str) -> Iterable[str]:
    yield f"what it holds   curl -s {base_url}/_sandbox/holdings"
    yield f"what it heard   curl -s {base_url}/_sandbox/journal"
    yield f"let it fail     curl -s {base_url}/_sandbox/faults -d '{_FAULT}'"
    yield f"let it recover  curl -s {base_url}/_sandbox/faults -d '[]'"
    yield "stays up until Ctrl-C"
