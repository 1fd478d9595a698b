"""Loading a whole file: what comes out of a good one, and what a file that can't even be read is refused with."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from bridge.contract.errors import ConfigError
from bridge.contract.settings import Rate
from config.load import Loaded, load
from config.settings import Settings
from tests.unit.config_types import PAYLOADS, DirectorySettings, KnownTypes, ShopSettings, loaded, refusal

ENV = {
    "DB_PASSWORD": "correct-horse",
    "NEW_KEY": "new-shop-key",
    "OLD_KEY": "old-shop-key",
    "LEGACY_KEY": "legacy-shop-key",
    "LMS_KEY": "lms-secret-key",
    "CRM_TOKEN": "crm-secret-token",
}


@pytest.fixture
def full() -> Loaded:
    return load(PAYLOADS / "full.toml", KnownTypes(), ENV)


def test_a_full_file_has_neither_faults_nor_warnings(full: Loaded) -> None:
    """The example is one that an operator may copy."""
    assert full.warnings == ()


def test_the_bridges_own_sections(full: Loaded) -> None:
    """Durations, sizes and networks arrive as such."""
    settings = full.settings
    assert settings.server.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.server.max_body == 2 * 1024 * 1024
    assert settings.ledger.url == "postgresql://bridge:correct-horse@db.example.org/bridge"
    assert settings.ledger.keep_events == timedelta(days=90)
    assert settings.ledger.keep_attempts == timedelta(days=30)
    assert settings.ledger.keep_deliveries is None
    assert settings.dispatch.retry == (timedelta(seconds=1), timedelta(minutes=90))
    assert (settings.log.level, settings.log.format) == ("debug", "console")
    assert (settings.admin.host, settings.admin.port) == ("127.0.0.1", 9090)
    assert settings.console.users["ada"].role == "operator"
    assert settings.mailer is not None
    assert settings.mailer.sender == "courses@example.org"


def test_sources_and_targets_are_of_their_own_classes(full: Loaded) -> None:
    """Each adapter and connector gets the model it declared."""
    ams, crm = full.settings.sources["ams"], full.settings.targets["crm"]
    assert isinstance(ams, ShopSettings)
    assert [key.get_secret_value() for key in ams.api_key] == ["new-shop-key", "old-shop-key"]
    assert isinstance(crm, DirectorySettings)
    assert crm.contact == {"firstname": "{learner.first_name}", "Last course": "{course.title}"}
    assert crm.only_if[0].value == 0
    assert full.settings.targets["lms"].rate_limit == (Rate(20, 1.0),)


def test_courses_carry_one_table_per_target(full: Loaded) -> None:
    """What a target needs is found under the target's name."""
    intro, ethics = full.settings.courses["intro-ce"], full.settings.courses["ethics"]
    assert intro.tables["lms"].model_dump() == {"remote_product_id": "CE-1"}
    assert intro.access.duration == timedelta(days=365)
    assert intro.access.grace == timedelta(days=3)
    assert ethics.title == "ethics"
    assert ethics.tables["crm"].model_dump() == {"tags": ("ce",)}


def test_products_take_one_source_or_several_and_numbers_as_ids(full: Loaded) -> None:
    """The two short forms mean what the long ones mean."""
    bundle, mug = full.settings.products
    assert (bundle.source, bundle.remote_product_id) == (("ams", "legacy"), "42")
    assert bundle.courses == ("intro-ce", "ethics")
    assert (mug.source, mug.ignore) == (("ams",), True)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    """Nothing is required; the defaults are those of the design."""
    settings = loaded(tmp_path, "").settings
    assert (settings.server.host, settings.server.port, settings.server.max_body) == ("127.0.0.1", 8080, 1_048_576)
    assert settings.ledger.url == "sqlite:///var/bridge.db"
    assert settings.ledger.keep_events == timedelta(days=400)
    assert settings.ledger.keep_attempts == settings.ledger.keep_deliveries == timedelta(days=400)
    assert settings.ledger.keep_actions is None
    dispatch = settings.dispatch
    assert [pause.total_seconds() for pause in dispatch.retry] == [5, 30, 120, 600, 3600, 10800, 21600, 43200]
    assert (dispatch.max_age, dispatch.jitter) == (timedelta(days=3), 0.2)
    assert (dispatch.deadline, dispatch.request_timeout) == (timedelta(seconds=25), timedelta(seconds=10))
    assert (dispatch.lease, dispatch.retry_after_max) == (timedelta(seconds=30), timedelta(hours=1))
    assert dispatch.breaker_failures == 5
    assert (dispatch.breaker_probe, dispatch.breaker_probe_max) == (timedelta(seconds=5), timedelta(minutes=5))
    assert (settings.mailer, settings.admin.port, settings.products) == (None, None, ())


def test_the_digest_is_that_of_the_file(full: Loaded) -> None:
    """Whoever holds the file can compute it."""
    assert full.text_digest == hashlib.sha256((PAYLOADS / "full.toml").read_bytes()).hexdigest()


def test_settings_do_not_change_after_loading(full: Loaded) -> None:
    """What was validated is what is used."""
    with pytest.raises(ValidationError):
        full.settings.server.port = 1  # type: ignore[misc]


def test_no_secret_in_any_form_of_the_settings_as_text(full: Loaded) -> None:
    """A settings object may end up in a log or a traceback."""
    settings: Settings = full.settings
    shown = [repr(full), str(settings), repr(settings), repr(settings.ledger), repr(settings.console)]
    shown += [repr(table) for table in (*settings.sources.values(), *settings.targets.values())]
    for secret in (*ENV.values(), "$argon2id$"):
        assert secret not in "\n".join(shown)


def test_several_faults_are_all_told_in_the_order_of_the_file() -> None:
    """One run shows everything there is to correct."""
    path = PAYLOADS / "faulty.toml"
    with pytest.raises(ConfigError) as caught:
        load(path, KnownTypes(), {})
    assert str(caught.value).replace(str(path), "faulty.toml").splitlines() == [
        "faulty.toml:2: server.port: expected a whole number, got text",
        "faulty.toml:3: server.publik_url: unknown key; did you mean 'public_url'?",
        'faulty.toml:6: dispatch.max_age: expected a duration such as "30s", "2min", "6h" or "365d"',
        "faulty.toml:9: sources.ams.adapter: there is no adapter 'shopp'; did you mean 'shop'?",
        "faulty.toml:13: sources.shop.api_key: the environment variable MISSING_KEY is not set",
        'faulty.toml:17: targets.lms.base_url: expected an address such as "https://example.org"',
        "faulty.toml:22: courses.intro.lsm: unknown key; did you mean 'lms'?",
        "faulty.toml:24: products[0].remote_product_id: missing; it is required",
        "faulty.toml:26: products[0].remote_product_idd: unknown key; did you mean 'remote_product_id'?",
        "faulty.toml:30: products[1].source[1]: there is no source 'shpo'; did you mean 'shop'?",
        "faulty.toml:32: products[1].courses[0]: there is no course 'intor'; did you mean 'intro'?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nport 8080\n", "bridge.toml:2: syntax: Expected '=' after a key in a key/value pair at column 6"),
        ("[server\n", "bridge.toml:1: syntax: Expected ']' at the end of a table declaration at column 8"),
        ("a = 1\n\nb = ", "bridge.toml:3: syntax: Invalid value at the end of the file"),
        ("[server]\n[server]\n", "bridge.toml:2: syntax: Cannot declare ('server',) twice at column 8"),
    ],
)
def test_a_syntax_error_is_told_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    """Where the parser stopped is where to look."""
    assert refusal(tmp_path, text) == [expected]


def test_a_missing_file(tmp_path: Path) -> None:
    """The path that was tried is named."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "bridge.toml", KnownTypes(), {})
    assert str(caught.value) == f"{tmp_path}/bridge.toml: file: does not exist; --config or BRIDGE_CONFIG names another"


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    """The system's reason is passed on."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, KnownTypes(), {})
    assert str(caught.value) == f"{tmp_path}: file: can't be read: Is a directory"


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    """The line of the first wrong byte is named."""
    path = tmp_path / "bridge.toml"
    path.write_bytes(b"[courses.intro]\ntitle = 'Einf\xfchrung'\n")
    with pytest.raises(ConfigError) as caught:
        load(path, KnownTypes(), {})
    assert str(caught.value) == f"{path}:2: file: is not UTF-8 text"


def test_a_mark_of_byte_order_does_no_harm(tmp_path: Path) -> None:
    """Some editors write one."""
    assert loaded(tmp_path, "\ufeff[server]\nport = 9000\n").settings.server.port == 9000
