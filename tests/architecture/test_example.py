"""``bridge.toml.example`` is a configuration that works, as it stands and with everything switched on."""

from __future__ import annotations

import re
from pathlib import Path

from bridge.cli import example
from bridge.contract.errors import ConfigError
from bridge.registry import Registry
from config.load import Loaded, load
from tests.architecture.source import ROOT

EXAMPLE = ROOT / "bridge.toml.example"
_SIGNING = "whsec_bWFkZS11cC1zZWNyZXQtb2YtMjQtYnl0"
_OF_A_FORM = {
    "STANDARD_WEBHOOKS_SOURCE_SIGNING_SECRETS": _SIGNING,
    "ALERTS_SECRET": _SIGNING,
    "BRIDGE_CI_TOKEN": "made-up-token-of-thirty-two-signs",
    "SLACK_WEBHOOK": "https://hooks.example.org/made-up",
}
_NAMED = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_SWITCHED_OFF = re.compile(r"^#(?=\S)", re.MULTILINE)


def read(path: Path) -> Loaded:
    """Load a file with a value of its own for every variable that it names; faults are shown as an operator sees them."""
    names = _NAMED.findall(path.read_text(encoding="utf-8"))
    environment = {name: _OF_A_FORM.get(name, f"made-up-{name.lower()}-us19") for name in names}
    try:
        return load(path, Registry(), environment)
    except ConfigError as faults:
        raise AssertionError(str(faults)) from None


def test_the_example_is_valid_as_it_stands() -> None:
    """Copied and given three variables, it starts."""
    found = read(EXAMPLE)
    assert found.warnings == ()
    assert set(found.settings.sources) == {"ams", "checkout"}
    assert set(found.settings.targets) == {"lms"}


def test_the_example_is_valid_with_everything_switched_on(tmp_path) -> None:
    """Every setting that is shown, of every adapter and connector, is one that is taken."""
    everything = tmp_path / "bridge.toml"
    everything.write_text(_SWITCHED_OFF.sub("", EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    found = read(everything)
    types = Registry()
    assert {source.adapter for source in found.settings.sources.values()} == set(types.adapters())
    assert {target.connector for target in found.settings.targets.values()} == set(types.connectors())


def test_a_required_table_is_shown_as_one(tmp_path) -> None:
    """With what it needs at least, secrets as references; so the rendered sections load as they are."""
    everything = tmp_path / "bridge.toml"
    everything.write_text(_SWITCHED_OFF.sub("", "\n".join(example.sources())), encoding="utf-8")
    found = read(everything)
    assert {source.adapter for source in found.settings.sources.values()} == set(Registry().adapters())
    assert not [warning for warning in found.warnings if "clear text" in warning.message]


def test_what_is_shown_as_a_default_is_the_default(tmp_path) -> None:
    """Switching a line of ``[dispatch]`` on changes nothing."""
    text = EXAMPLE.read_text(encoding="utf-8")
    section = re.search(r"^#\[dispatch\]\n(?:#.*\n)+", text, re.MULTILINE)
    assert section is not None
    everything = tmp_path / "bridge.toml"
    everything.write_text(text.replace(section[0], _SWITCHED_OFF.sub("", section[0])), encoding="utf-8")
    assert read(everything).settings.dispatch == read(EXAMPLE).settings.dispatch


def test_the_example_holds_no_secret() -> None:
    """Credentials are shown as references only."""
    assert not re.search(
        r'(?<!deal_)(?:key|secret|token|password)\s*=\s*"(?!\$\{)', EXAMPLE.read_text(encoding="utf-8")
    )
