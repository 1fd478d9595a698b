"""Who imports whom (ADR 0002): the contracts of import-linter, and what a connector may bring along (ADR 0009)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, files, imported, shown, types

OURS = {"bridge", "connectors", "config"}
ALLOWED = {"pydantic", "orjson", "idna", "cryptography", "defusedxml"}
"""Third-party modules that adapters and connectors may import; HTTP goes through the kit."""


def lint(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_every_import_contract_is_kept() -> None:
    """A broken contract is shown with its guidance."""
    done = lint("--no-logo", "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_contract_is_found_and_says_where_the_code_should_go(tmp_path) -> None:
    """The check itself can fail: a connector that reaches for the ledger is named."""
    for package in sorted(OURS):
        for path in files(package):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    stray = tmp_path / "connectors" / "outbound" / "elevate.py"
    stray.write_text("import bridge.ledger.outbox\n" + stray.read_text())
    done = lint("--no-logo", "--no-cache", "--contract", "connectors-see-contract-and-kit", folder=tmp_path)
    assert done.returncode == 1
    assert "connectors.outbound.elevate -> bridge.ledger.outbox" in done.stdout
    assert "the ledger keeps them" in done.stdout


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_connectors_bring_no_library_of_their_own(direction: str) -> None:
    """No vendor SDK and no HTTP client: the standard library, a short list, the contract and the kit."""
    known = OURS | ALLOWED | sys.stdlib_module_names
    strays = [
        f"{shown(path, node)}: {module}"
        for path in files(f"connectors/{direction}")
        for node, module in imported(path)
        if module.split(".")[0] not in known
    ]
    assert types(direction)
    assert not strays
