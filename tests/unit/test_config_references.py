"""Secrets and other values that stand elsewhere, and that none of them is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import Loaded
from tests.unit.config_types import DirectorySettings, loaded, refusal, warned

HEAD = '[targets.crm]\nconnector = "directory"\n'
CLEAR = 'a secret in clear text; write "${NAME}" or { file = "path" } instead'


def token(found: Loaded) -> str:
    crm = found.settings.targets["crm"]
    assert isinstance(crm, DirectorySettings)
    return crm.token.get_secret_value()


def secret_file(folder: Path, content: bytes, mode: int = 0o600) -> None:
    path = folder / "secrets" / "crm"
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"${TOKEN}"', "crm-token"),
        ('{ env = "TOKEN" }', "crm-token"),
        ('"v1-${TOKEN}-${REGION}"', "v1-crm-token-eu"),
        ('"$${TOKEN}"', "${TOKEN}"),
        ('"$TOKEN {TOKEN}"', "$TOKEN {TOKEN}"),
    ],
)
def test_reads_the_environment(tmp_path: Path, written: str, expected: str) -> None:
    """A reference is the whole value or a part of it; its escape is left alone."""
    assert token(loaded(tmp_path, f"{HEAD}token = {written}", TOKEN="crm-token", REGION="eu")) == expected


def test_what_the_environment_says_is_not_read_again(tmp_path: Path) -> None:
    """A secret may hold any characters."""
    assert token(loaded(tmp_path, HEAD + 'token = "${TOKEN}"', TOKEN="${HOME} $${x}")) == "${HOME} $${x}"


def test_any_value_may_stand_elsewhere(tmp_path: Path) -> None:
    """A number, a switch and a duration as well."""
    settings = loaded(
        tmp_path,
        f'[server]\nport = "${{PORT}}"\n[dispatch]\nlease = {{ env = "LEASE" }}\n{HEAD}token = "${{T}}"\nenabled = "${{ON}}"',
        PORT="9000",
        LEASE="40s",
        T="crm-token",
        ON="false",
    ).settings
    assert settings.server.port == 9000
    assert settings.dispatch.lease.total_seconds() == 40
    assert settings.targets["crm"].enabled is False


@pytest.mark.parametrize("name", ["env", "file"])
def test_a_table_may_be_called_like_a_reference(tmp_path: Path, name: str) -> None:
    """Only text makes it one."""
    assert list(loaded(tmp_path, f"[sources.{name}]\nadapter = 'silent'").settings.sources) == [name]


@pytest.mark.parametrize("content", [b"crm-token", b"crm-token\n", b"crm-token\r\n"])
def test_reads_a_file_beside_the_configuration(tmp_path: Path, content: bytes) -> None:
    """The line end that an editor adds is not part of the secret."""
    secret_file(tmp_path, content)
    assert token(loaded(tmp_path, HEAD + 'token = { file = "secrets/crm" }')) == "crm-token"


def test_the_path_of_a_file_may_come_from_the_environment(tmp_path: Path) -> None:
    """Service managers tell the folder of the credentials in a variable."""
    secret_file(tmp_path, b"crm-token")
    found = loaded(tmp_path, HEAD + 'token = { file = "${FOLDER}/crm" }', FOLDER=str(tmp_path / "secrets"))
    assert token(found) == "crm-token"


def test_a_file_that_everybody_can_read_is_a_warning(tmp_path: Path) -> None:
    """It works, and the operator is told."""
    secret_file(tmp_path, b"crm-token", 0o644)
    assert (
        "3: targets.crm.token: every user of this machine can read the file 'secrets/crm'; make it mode 0600"
        in warned(tmp_path, HEAD + 'token = { file = "secrets/crm" }')
    )


def test_a_private_file_is_no_warning(tmp_path: Path) -> None:
    """Nothing is said of what is in order."""
    secret_file(tmp_path, b"crm-token")
    assert not any("token" in line for line in warned(tmp_path, HEAD + 'token = { file = "secrets/crm" }'))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"${NONE}"', "the environment variable NONE is not set"),
        ('{ env = "NONE" }', "the environment variable NONE is not set"),
        ('"x-${EMPTY}"', "the environment variable EMPTY is empty"),
        (
            '"${not a name}"',
            "expected the name of an environment variable, as in ${NAME}; for the characters themselves write $${",
        ),
        ('{ file = "none" }', "the file 'none' can't be read: No such file or directory"),
        ('{ file = "." }', "the file '.' can't be read: Is a directory"),
        ('{ file = "empty" }', "the file 'empty' is empty"),
        ('{ file = "binary" }', "the file 'binary' is not UTF-8 text"),
        ('{ file = "${NONE}/x" }', "the environment variable NONE is not set"),
    ],
)
def test_a_reference_that_leads_nowhere(tmp_path: Path, written: str, expected: str) -> None:
    """The key and the variable or file are named; nothing else is blamed."""
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert refusal(tmp_path, f"{HEAD}token = {written}", EMPTY="") == [f"bridge.toml:3: targets.crm.token: {expected}"]


def test_a_missing_number_is_told_once(tmp_path: Path) -> None:
    """What stands in its place is not judged."""
    text = '[server]\nport = "${PORT}"\nhost = 5'
    assert refusal(tmp_path, text) == [
        "bridge.toml:2: server.port: the environment variable PORT is not set",
        "bridge.toml:3: server.host: expected text, got a whole number",
    ]


def test_two_missing_keys_are_not_the_same_key(tmp_path: Path) -> None:
    """Sources whose key is absent don't collide."""
    text = '[sources.a]\nadapter = "shop"\napi_key = "${A}"\n[sources.b]\nadapter = "shop"\napi_key = ["${B}"]'
    assert refusal(tmp_path, text) == [
        "bridge.toml:3: sources.a.api_key: the environment variable A is not set",
        "bridge.toml:6: sources.b.api_key[0]: the environment variable B is not set",
    ]


def test_literal_secrets_are_accepted_with_a_warning(tmp_path: Path) -> None:
    """Single ones, those in lists, and those in nested tables."""
    text = (
        '[sources.ams]\nadapter = "shop"\napi_key = ["${KEY}", "literal-key"]\n'
        + HEAD
        + 'token = "literal-token"\n[[targets.crm.logins]]\nuser = "ada"\npassword = "literal-password"'
    )
    assert [line for line in warned(tmp_path, text, KEY="shop-key") if "clear" in line] == [
        f"3: sources.ams.api_key[1]: {CLEAR}",
        f"6: targets.crm.token: {CLEAR}",
        f"9: targets.crm.logins[0].password: {CLEAR}",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '[ledger]\nurl = "postgresql://bridge:hunter22@db/bridge"',
        '[ledger]\nurl = "postgresql:///bridge?host=/run/pg&password=hunter22"',
        '[mailer]\nsender = "a@example.org"\nurl = "smtp://bridge:hunter22@mail"',
    ],
)
def test_a_password_within_an_address_is_a_warning(tmp_path: Path, text: str) -> None:
    """As any other literal secret; by reference, or without a password, it is none."""
    said = 'a password in clear text; write it as "${NAME}" within the address'
    assert next(line for line in warned(tmp_path, text) if "password" in line).endswith(f".url: {said}")
    assert not any("password" in line for line in warned(tmp_path, text.replace("hunter22", "${PW}"), PW="hunter22"))
    assert not any("password" in line for line in warned(tmp_path, '[ledger]\nurl = "postgresql:///bridge"'))


def test_a_password_hash_may_stand_in_the_file(tmp_path: Path) -> None:
    """That is what it is hashed for."""
    assert not any("console" in line for line in warned(tmp_path, '[console.users.ada]\npassword = "$argon2id$x"'))


@pytest.mark.parametrize("written", ['"bad-secret-value"', '"${KEY}"', '["${KEY}"]', '{ env = "KEY" }'])
def test_a_message_never_shows_a_secret(tmp_path: Path, written: str) -> None:
    """Not even when an adapter's own validator puts it into its words."""
    text = f'[sources.ams]\nadapter = "shop"\napi_key = {written}\nretries = "bad-secret-value"'
    assert refusal(tmp_path, text, KEY="bad-secret-value") == [
        "bridge.toml:3: sources.ams.api_key: ••• is not a key of the shop",
        "bridge.toml:4: sources.ams.retries: expected a whole number, got text",
    ]


def test_a_secret_in_the_wrong_place_is_not_shown(tmp_path: Path) -> None:
    """An unknown name is quoted, but not when it came by reference."""
    text = '[sources.ams]\nadapter = "silent"\nsame_orders_as = "${KEY}"'
    assert refusal(tmp_path, text, KEY="shop-secret") == [
        "bridge.toml:3: sources.ams.same_orders_as: there is no source '•••'"
    ]
