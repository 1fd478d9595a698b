"""What the configuration needs to know of adapters and connectors: the real Elevate connector, and two made-up types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal
from uuid import UUID

import pytest
from pydantic import Field, SecretStr, field_validator

from bridge.contract.errors import ConfigError
from bridge.contract.outbound import OutboundConnector
from bridge.contract.settings import CourseTable, Secrets, SettingsModel, SourceSettings, TargetSettings
from config.load import Loaded, load
from connectors.outbound.elevate import CONNECTOR as ELEVATE

PAYLOADS = Path(__file__).parents[1] / "payloads" / "config"


class Signed(SettingsModel):
    """One of two shapes of a table."""

    scheme: Literal["signed"]
    secret: SecretStr


class Open(SettingsModel):
    """The other one."""

    scheme: Literal["open"]
    networks: list[str] = Field(default_factory=list)


class ShopSettings(SourceSettings):
    """An adapter that is found by its key."""

    api_key: Secrets
    retries: int = Field(default=3, ge=1, le=9)
    share: float = 0.5
    fetch: bool = False
    tolerance: int | bool | None = None
    version: Literal["latest"] | int = "latest"
    verify: Signed | Open | None = Field(default=None, discriminator="scheme")
    account: UUID | None = None
    base_url: str = "https://shop.example.org"

    @field_validator("api_key")
    @classmethod
    def _has_a_prefix(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in keys:
            if key.get_secret_value().startswith("bad"):
                raise ValueError(f"{key.get_secret_value()} is not a key of the shop")  # a careless author
        return keys


class Login(SettingsModel):
    """A nested table with a secret."""

    user: str
    password: SecretStr


class DirectorySettings(TargetSettings):
    """A connector that takes every course."""

    base_url: str = "https://directory.example.org"
    token: SecretStr
    contact: dict[str, str] = Field(default_factory=dict)
    mode: Literal["fast", "safe"] = "safe"
    logins: tuple[Login, ...] = ()


class DirectoryCourse(CourseTable):
    """What it may be told per course."""

    tags: tuple[str, ...] = ()


class PlainSettings(TargetSettings):
    """A connector that takes nothing per course."""


class KnownTypes:
    """The types of these tests."""

    _sources: ClassVar[dict[str, type[SourceSettings]]] = {"shop": ShopSettings, "silent": SourceSettings}
    _targets: ClassVar[dict[str, type[TargetSettings]]] = {
        "elevate": ELEVATE.Settings,
        "directory": DirectorySettings,
        "plain": PlainSettings,
    }
    _courses: ClassVar[dict[str, type[CourseTable] | None]] = {"elevate": ELEVATE.Course, "directory": DirectoryCourse}

    def adapters(self) -> Sequence[str]:
        return list(self._sources)

    def connectors(self) -> Sequence[str]:
        return list(self._targets)

    def source_settings(self, adapter: str) -> type[SourceSettings]:
        return self._sources[adapter]

    def target_settings(self, connector: str) -> type[TargetSettings]:
        return self._targets[connector]

    def course_table(self, connector: str) -> type[CourseTable] | None:
        return self._courses.get(connector)

    def needs_table(self, connector: str) -> bool:
        elevate: type[OutboundConnector] = ELEVATE
        return connector == "elevate" and elevate.needs_table

    def sends_user_ids(self, adapter: str) -> bool:
        return False

    def knows_user_ids(self, connector: str) -> bool:
        return connector == "elevate"

    def template_faults(self, folder: Path | None) -> Sequence[str]:
        return [] if folder is None or folder.is_dir() else [f"{folder.name} can't be read"]

    def keys(self, adapter: str, settings: SourceSettings) -> Sequence[str]:
        return [key.get_secret_value() for key in settings.api_key] if isinstance(settings, ShopSettings) else []


def loaded(folder: Path, text: str, **env: str) -> Loaded:
    """Load a text as a file of its own."""
    path = folder / "bridge.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, KnownTypes(), env)


def refusal(folder: Path, text: str, **env: str) -> list[str]:
    """Return the lines of the message that a text is refused with, without the folder."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, **env)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def warned(folder: Path, text: str, **env: str) -> list[str]:
    """Return the warnings of a text that is accepted."""
    return [f"{fault.line}: {fault.where}: {fault.message}" for fault in loaded(folder, text, **env).warnings]
