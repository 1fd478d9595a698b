"""No secret and no learner's data in what is kept or logged."""

from __future__ import annotations

import base64
import json
import string
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from bridge.kit.masking import (
    BLANK,
    excerpt,
    mask,
    mask_text,
    mask_url,
    secret_name,
    secrets_of,
    spellings,
    veil,
    veil_value,
)

WORDS = st.text(string.ascii_letters + "äöüßñ .,;!?-()/\n", max_size=60)
EMAILS = st.emails()
TOKENS = st.text(string.ascii_letters + string.digits + "-._~+/|", min_size=12, max_size=60)
SECRET_NAMES = st.sampled_from(
    ["api_key", "apikey", "API-Key".replace("-", "_"), "secret", "client_secret", "token", "access_token", "password"]
)
QUOTABLE = st.text(string.ascii_letters + string.digits + " -._~+/=!$%&{}[](),;:<>@#'", min_size=6, max_size=40)


@given(before=WORDS, email=EMAILS, after=WORDS)
@example(before="", email="o'hara@example.org", after="")
@example(before="x", email="a/b@sub.example.org", after="y")
@example(before="", email="weird'@example.org", after="")
def test_no_email_survives(before: str, email: str, after: str) -> None:
    """Whatever stands around it, and whatever its local part is made of."""
    masked = mask_text(f"{before} {email} {after}")
    assert email not in masked
    assert email.rpartition("@")[2] not in masked.split()


@given(email=EMAILS)
def test_no_email_survives_in_json_forms_and_addresses(email: str) -> None:
    """The places where targets quote them back."""
    for text in (json.dumps({"x": email}), f"<{email}>", f"to={email},ok", f"https://x.example/{quote(email)}/y"):
        masked = mask_text(text)
        assert email not in masked
        assert quote(email) not in masked


@given(before=WORDS, token=TOKENS, scheme=st.sampled_from(["Bearer", "bearer", "BEARER"]))
def test_no_bearer_token_survives(before: str, token: str, scheme: str) -> None:
    """Opaque, JWT or with a user's number before it."""
    assume(token not in before)
    assert token not in mask_text(f"{before} Authorization: {scheme} {token} end")


@given(user=TOKENS, password=TOKENS)
def test_no_basic_credential_survives(user: str, password: str) -> None:
    """Base64 is no disguise."""
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    assert encoded not in mask_text(f"Authorization: Basic {encoded}")


@given(name=SECRET_NAMES, value=TOKENS, sign=st.sampled_from(["=", ": ", " = ", ":"]), before=WORDS)
def test_no_secret_survives_behind_its_name(name: str, value: str, sign: str, before: str) -> None:
    """In a query, a header, a message."""
    assume(value not in before)
    assert value not in mask_text(f"{before} {name}{sign}{value} and so on")


@given(name=SECRET_NAMES, value=QUOTABLE)
def test_no_quoted_secret_survives(name: str, value: str) -> None:
    """Also with spaces, commas and braces in it."""
    masked = mask_text(json.dumps({"ok": 1, name: value, "z": 2}))
    assert masked == json.dumps({"ok": 1, name: BLANK, "z": 2}, ensure_ascii=False)


@given(st.text(max_size=200))
@example("token=\"a 'b")
@example("a@b@c.org")
@example("{@0")
@example("x?email=ada%40example.org&a=b")
@example("Bearer 123456 Bearer 123456")
def test_masking_twice_changes_nothing_more(text: str) -> None:
    """What is masked stays as it is, through logs and reports."""
    once = mask_text(text)
    assert mask_text(once) == once


@given(
    st.lists(st.text(string.ascii_letters + string.digits + "äöü.,;!?-()/'&%#", max_size=12), max_size=12).map(" ".join)
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Without an at sign, a colon or an equals sign there is nothing to hide but a credential after its scheme."""
    assume("%40" not in text and "bearer" not in text.lower() and "basic" not in text.lower())
    assert mask_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Basic Training",
        "Basic life support and first aid",
        "register the learner: product: The requested product could not be found.",
        "HTTP 503 at 10:30:00",
        "no answer within the time limit",
        "course_id=42, run=7",
        "monkey: banana",
    ],
)
def test_what_an_operator_needs_to_read_stays(text: str) -> None:
    """Titles, reasons, times and ids."""
    assert mask_text(text) == text


def test_an_apostrophe_in_an_address_hides_nothing_less() -> None:
    """Half of a name like O'Brien would stay readable in each record of what was sent."""
    assert mask_text("search=pat.o'brien@example.org&page=1") == "search=p•••@•••.org&page=1"
    assert mask_text("{'a':'ada@example.org'}") == "{'a':'a•••@•••.org'}"


def test_two_people_can_still_be_told_apart() -> None:
    """First letter and top-level domain stay."""
    assert mask_text("ada@example.org, bob@shop.example.com") == "a•••@•••.org, b•••@•••.com"
    assert mask_text("ada@localhost") == "a•••@•••"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("api_key", True),
        ("apiKey", True),
        ("key", True),
        ("client_secret", True),
        ("Authorization", True),
        ("webhook.signature", True),
        ("refresh-token", True),
        ("passwords", True),
        ("keyboard", False),
        ("monkey", False),
        ("tokenize", False),
        ("course_id", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    """Whole words only."""
    assert secret_name(name) is secret


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(value=JSON)
def test_masking_a_value_twice_changes_nothing_more(value: object) -> None:
    """Records are masked when made and when shown."""
    once = mask(value)
    assert mask(once) == once


@given(name=SECRET_NAMES, secret=JSON.filter(lambda value: value not in (None, BLANK)))
def test_what_a_secret_name_holds_is_blank_at_every_depth(name: str, secret: object) -> None:
    """Whatever it holds."""
    assert mask({"a": [{name: secret}]}) == {"a": [{name: BLANK}]}


def test_learner_data_is_blank_by_the_name_of_its_field() -> None:
    """Also numbers, and whatever stands below; switches and absent values stay readable."""
    assert mask(
        {
            "email": "ada@example.org",
            "email_opt_in": True,
            "firstname": "Ada",
            "last_name": "",
            "phone": 49123,
            "phones": ["1", 2],
            "name": {"given": "Ada", "tokens": 1, "aliases": [{"x": "Countess"}]},
            "address_line": None,
            "course_id": 42,
            "note": "write to ada@example.org",
            "bob@example.org": 1,
        }
    ) == {
        "email": BLANK,
        "email_opt_in": True,
        "firstname": BLANK,
        "last_name": "",
        "phone": BLANK,
        "phones": [BLANK, BLANK],
        "name": {"given": BLANK, "tokens": BLANK, "aliases": [{"x": BLANK}]},
        "address_line": None,
        "course_id": 42,
        "note": "write to a•••@•••.org",
        "b•••@•••.org": 1,
    }


def test_an_answer_nested_a_thousand_deep_is_cut() -> None:
    """A hostile target must not break the record of what it did."""
    value: object = "ada@example.org"
    for _ in range(1_000):
        value = [value]
    assert "ada" not in json.dumps(mask(value))


@given(email=EMAILS, token=TOKENS, before=WORDS)
def test_an_address_shows_neither_people_nor_secrets(email: str, token: str, before: str) -> None:
    """Path, query and user info."""
    assume(token not in quote(before, safe="") and token not in email)
    url = (
        f"https://user:{quote(token, safe='')}@target.example:8443/users/{quote(email, safe='')}"
        f"?q={quote(before, safe='')}&login={quote(email, safe='')}&api_key={quote(token, safe='')}&page=2"
    )
    masked = mask_url(url)
    for hidden in (email, quote(email, safe=""), token, quote(token, safe="")):
        assert hidden not in masked
    assert masked.startswith("https://target.example:8443/users/")
    assert masked.endswith("&page=2")
    assert f"q={quote(before, safe='')}&" in masked


@given(name=st.text(string.ascii_letters, max_size=8), value=st.text(max_size=30))
def test_masking_an_address_twice_changes_nothing_more(name: str, value: str) -> None:
    """Whatever a query holds."""
    url = f"http://x.example/a?{name}={quote(value, safe='')}&b=1"
    once = mask_url(url)
    assert mask_url(once) == once


@pytest.mark.parametrize(
    "url", ["", "/relative/path", "http://x.example", "http://x.example?a=1", "http://x.example/#top"]
)
def test_an_address_with_nothing_to_hide_stays(url: str) -> None:
    """Whole or in part."""
    assert mask_url(url) == url


@given(st.integers(1_500, 2_100), st.sampled_from(["ada.lovelace@example.org", 'token="abc def ghi jkl"']))
def test_a_cut_leaves_no_half_an_address(at: int, hidden: str) -> None:
    """The limit may fall into the middle of what is to be masked."""
    text = "word " * (at // 5) + "x" * (at % 5) + hidden + " more" * 800
    kept = excerpt(text, 2_000)
    assert len(kept) <= 2_000
    assert "lovelace" not in kept
    assert "def" not in kept


def test_a_cut_behind_masks_that_shrink_leaves_nothing_either() -> None:
    """Many long addresses become short ones, so that the cut moves into sight."""
    kept = excerpt("ada.lovelace.the.first.of.her.kind@analytical.engine.example.org " * 200, 2_000)
    assert "lovelace" not in kept


VALUES = st.text(string.ascii_letters + "äöüßéñ' \"\\&<>+/%-", min_size=6, max_size=30).filter(
    lambda text: len(text.strip()) >= 6
)


@given(value=VALUES, before=WORDS, after=WORDS)
def test_a_known_value_survives_in_no_spelling(value: str, before: str, after: str) -> None:
    """As it is, in capitals, in JSON, in HTML, in an address."""
    value = value.strip()
    for spelt in (
        value,
        value.upper() if value.isascii() else value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        escape(value),
    ):
        text = f"{before}|{spelt}|{after}"
        if spelt in f"{before}|" or spelt in f"|{after}":
            continue
        assert f"|{spelt}|" not in veil(text, spellings([value]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ann cannot annul it", f"{BLANK} cannot annul it"),
        ("name=ann&x=1", f"name={BLANK}&x=1"),
        ("q=%20Ann%20B", f"q=%20{BLANK}%20B"),
        ("dump\\nAnn_1", f"dump\\n{BLANK}_1"),
        ("user xzaphodium1 is known", f"user x{BLANK}1 is known"),
        ("Al and HTTP 503", "Al and HTTP 503"),
        ("", ""),
    ],
)
def test_short_values_are_hidden_as_words_and_long_ones_anywhere(text: str, shown: str) -> None:
    """A name of three letters must not make every reason unreadable."""
    assert veil(text, spellings(["Ann", "Zaphodium", "Al", ""])) == shown


@given(st.integers(180, 400))
def test_a_value_that_was_cut_off_is_hidden_too(at: int) -> None:
    """Only the rest of it is missing; two letters tell nothing."""
    text = ("word " * 80)[:at] + " Zaphodium-Beeblebrox"
    for length in range(at + 4, len(text)):
        assert "zap" not in veil(text[:length], spellings(["zaphodium-beeblebrox"])).lower() or length < 200


def test_known_values_are_hidden_in_texts_keys_and_numbers_of_a_record() -> None:
    """Counts, ids and switches stay."""
    hidden = spellings(["Zaphodium", "491515551234", "200", "true"])
    assert veil_value(
        {"Zaphodium": 1, "list": ["x zaphodium y", None], "n": 491515551234, "status": 200, "ok": True}, hidden
    ) == {BLANK: 1, "list": [f"x {BLANK} y", None], "n": BLANK, "status": 200, "ok": True}
    untouched = {"status": 404, "message": "no such course"}
    assert veil_value(untouched, hidden) is untouched


def test_every_secret_of_a_settings_model_is_found() -> None:
    """Single ones, rotating ones, nested ones; nothing else."""

    class Login(BaseModel):
        user: str
        password: SecretStr

    class Settings(BaseModel):
        base_url: str = "http://x.example"
        key: SecretStr
        old: tuple[SecretStr, ...] = ()
        login: Login
        by_name: dict[str, SecretStr]

    settings = Settings.model_validate(
        {"key": "k-1", "old": ["k-2"], "login": {"user": "u", "password": "k-3"}, "by_name": {"a": "k-4 and=the-rest"}}
    )
    assert list(secrets_of(settings)) == ["k-1", "k-2", "k-3", "k-4 and=the-rest", "the-rest"]
