"""Types are found by folder and loaded by need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge.registry import Registry, adapter_class, connector_class, emulator_class


def test_finds_files_and_packages_by_name() -> None:
    """The file name is the type; one that outgrew its file is a package of the same name."""
    registry = Registry()
    assert {"elevate", "tenxpro"} <= set(registry.adapters())
    assert {"elevate", "academy_of_mine", "hubspot", "salesforce", "mailchimp"} <= set(registry.connectors())
    assert set(registry.connectors()) <= set(registry.emulators())


@pytest.mark.parametrize("found", [adapter_class, connector_class, emulator_class])
def test_an_unknown_type_is_a_key_error(found) -> None:
    """Configuration names the nearest one; here it is simply not there."""
    with pytest.raises(KeyError):
        found("no_such_system")


def test_only_what_is_asked_for_is_imported() -> None:
    """A bridge to Mailchimp does not load Salesforce."""
    code = (
        "import sys; from bridge.registry import connector_class; connector_class('mailchimp');"
        "print([name for name in sys.modules if name.startswith('connectors.outbound.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "connectors.outbound.mailchimp" in done.stdout
    assert "salesforce" not in done.stdout
