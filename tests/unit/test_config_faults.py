"""Every kind of fault once, word by word."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.words import unknown_key
from tests.unit.config_types import loaded, refusal

SOURCE = '[sources.ams]\nadapter = "shop"\napi_key = "${KEY}"\n'
CRM = '[targets.crm]\nconnector = "directory"\ntoken = "${TOKEN}"\n'
ENV = {"KEY": "shop-key-1", "TOKEN": "crm-token-1"}
DURATION = 'expected a duration such as "30s", "2min", "6h" or "365d"'
ADDRESS = 'expected an address such as "https://example.org"'
NAME = "expected a name of a-z, 0-9, '_' and '-' that begins with a letter or digit"

OWN_SECTIONS = [
    ("[server]\nport = 70000", "2: server.port: expected 65535 or less"),
    ("[server]\nport = -1", "2: server.port: expected 0 or more"),
    ("[server]\nport = 80.5", "2: server.port: expected a whole number, got a number with decimals"),
    ("[server]\nhost = 5", "2: server.host: expected text, got a whole number"),
    ('[server]\npublic_url = "bridge.example.org"', f"2: server.public_url: {ADDRESS}"),
    ('[server]\npublic_url = "https://a.example.org:x"', f"2: server.public_url: {ADDRESS}"),
    (
        '[server]\ntrusted_proxies = [\n"10.0.0.0/8",\n"proxy"]',
        '4: server.trusted_proxies[1]: expected an address or a network, such as "10.0.0.0/8"',
    ),
    ('[server]\ntrusted_proxies = "10.0.0.1"', "2: server.trusted_proxies: expected a list, got text"),
    ('[server]\nmax_body = "big"', '2: server.max_body: expected a size such as "1MiB" or "500KB"'),
    ("[server]\nmax_body = 0", "2: server.max_body: expected more than 0"),
    ("server = 5", "1: server: expected a table, got a whole number"),
    (
        '[ledger]\nurl = "mysql://db"',
        '2: ledger.url: expected "sqlite:///path/to/bridge.db" or "postgresql://..."',
    ),
    ('[ledger]\nkeep_events = "0s"', "2: ledger.keep_events: expected more than 0 seconds"),
    ('[ledger]\nkeep_attempts = "6d"', '2: ledger.keep_attempts: expected 7 days at least, or "off"'),
    (
        '[ledger]\nkeep_deliveries = "never"',
        '2: ledger.keep_deliveries: expected a duration such as "400d", or "off"',
    ),
    ("[ledger]\nkeep_lookups = 30", '2: ledger.keep_lookups: expected a duration such as "400d", or "off"'),
    ("[dispatch]\nlease = 30", f"2: dispatch.lease: {DURATION}"),
    ("[dispatch]\nretry = []", "2: dispatch.retry: expected at least 1 in the list"),
    ('[dispatch]\nretry = ["5s", "soon"]', f"2: dispatch.retry[1]: {DURATION}"),
    ("[dispatch]\njitter = 1.5", "2: dispatch.jitter: expected less than 1"),
    ('[dispatch]\njitter = "much"', "2: dispatch.jitter: expected a number, got text"),
    ("[dispatch]\nbreaker_failures = 0", "2: dispatch.breaker_failures: expected 1 or more"),
    ('[dispatch]\nlease = "25s"', "1: dispatch: expected deadline (25s) to be shorter than lease (25s)"),
    ('[log]\nformat = "xml"', "2: log.format: expected 'json' or 'console'"),
    (
        '[console.users.ada]\npassword = "hunter2"',
        "2: console.users.ada.password: expected an argon2id hash, made by `bridge console add-user`",
    ),
    (
        '[console.users.ada]\npassword = "$argon2id$x"\nrole = "admin"',
        "3: console.users.ada.role: expected 'operator' or 'viewer'",
    ),
    (
        '[mailer]\nurl = "http://mail"\nsender = "a@example.org"',
        '2: mailer.url: expected "smtp://host:port" or "smtps://host:port"',
    ),
    (
        '[mailer]\nurl = "smtp://mail"\nsender = ""',
        "3: mailer.sender: expected text of at least 1 character",
    ),
    ('[mailer]\nurl = "smtp://mail"', "1: mailer.sender: missing; it is required"),
    (
        '[mailer]\nurl = "smtp://mail"\nsender = "the office"',
        '3: mailer.sender: expected an address such as "courses@example.org" or "Courses <courses@example.org>"',
    ),
    (
        '[mailer]\nurl = "smtp://mail"\nsender = "a@example.org"\nadmin = ["boss"]',
        "4: mailer.admin[0]: must be an e-mail address",
    ),
    (
        '[mailer]\nurl = "smtp://mail"\nsender = "a@example.org"\ntemplates = "nowhere"',
        "4: mailer.templates: nowhere can't be read",
    ),
    (
        '[targets.mailer]\nconnector = "plain"',
        "1: targets.mailer: a target can't be called 'mailer': the lane of notices is",
    ),
    ("[target.crm]", "1: target: unknown key; did you mean 'targets'?"),
    (
        '[log]\ncolour = "red"',
        "2: log.colour: unknown key; expected one of: format, level",
    ),
]

OPERATORS = "expected 'equal_to', 'not_equal_to', 'greater_than', 'less_than', 'contains' or 'in'"

SOURCES_AND_TARGETS = [
    ("sources = 3", "1: sources: expected tables, as in [sources.NAME]"),
    ("[sources]\nams = 3", "2: sources.ams: expected a table, as in [sources.ams]"),
    ('[sources.ams]\nadaptor = "shop"', "2: sources.ams.adaptor: unknown key; did you mean 'adapter'?"),
    ("[sources.ams]\nkey = 1", "1: sources.ams.adapter: missing; expected one of: shop, silent"),
    ("[sources.ams]\nadapter = 5", "2: sources.ams.adapter: expected the type of the adapter as text"),
    (
        '[sources.ams]\nadapter = "zzz"',
        "2: sources.ams.adapter: there is no adapter 'zzz'; expected one of: shop, silent",
    ),
    ('[sources.Ams]\nadapter = "silent"', f"1: sources.Ams: {NAME}"),
    ('[sources."-a"]\nadapter = "silent"', f"1: sources.-a: {NAME}"),
    ('[sources.ams]\nadapter = "shop"', "1: sources.ams.api_key: missing; it is required"),
    ('[sources.ams]\nadapter = "shop"\napi_key = []', "3: sources.ams.api_key: expected at least 1 in the list"),
    ('[sources.ams]\nadapter = "shop"\napi_key = 5', "3: sources.ams.api_key: expected text, got a whole number"),
    (
        '[sources.ams]\nadapter = "shop"\napi_key = ["${KEY}", ""]',
        "3: sources.ams.api_key[1]: expected text of at least 1 character",
    ),
    (
        '[sources.ams]\nadapter = "shop"\napi_key = { envv = "KEY" }',
        "3: sources.ams.api_key: expected text, got a table",
    ),
    (SOURCE + "fetch = 1979-05-27", "4: sources.ams.fetch: expected true or false, got a date or time"),
    (SOURCE + "retries = 10", "4: sources.ams.retries: expected 9 or less"),
    (
        SOURCE + 'tolerance = "some"',
        "4: sources.ams.tolerance: expected a whole number or true or false, got text",
    ),
    (SOURCE + "version = 'newest'", "4: sources.ams.version: expected 'latest'; or expected a whole number, got text"),
    (SOURCE + "account = 5", "4: sources.ams.account: UUID input should be a string, bytes or UUID object"),
    (SOURCE + "verify = { scheme = 'sgned' }", "4: sources.ams.verify.scheme: expected 'signed', 'open' as 'scheme'"),
    (SOURCE + "verify = {}", "4: sources.ams.verify: expected the key 'scheme'"),
    (SOURCE + "verify = { scheme = 'signed' }", "4: sources.ams.verify.secret: missing; it is required"),
    (
        SOURCE + "verify = { scheme = 'open', network = [] }",
        "4: sources.ams.verify.network: unknown key; did you mean 'networks'?",
    ),
    (
        SOURCE + "[sources.ams.verify]\nscheme = 'open'\nnetworks = ['a',\n5]",
        "7: sources.ams.verify.networks[1]: expected text, got a whole number",
    ),
    (SOURCE + "share = [1]", "4: sources.ams.share: expected a number, got a list"),
    (SOURCE + 'unmapped = "drop"', "4: sources.ams.unmapped: expected 'quarantine' or 'ignore'"),
    (SOURCE + 'enabled = false\nadaptor = "x"', "5: sources.ams.adaptor: unknown key; did you mean 'adapter'?"),
    (SOURCE + 'base_url = "shop"', f"4: sources.ams.base_url: {ADDRESS}"),
    (
        '[targets.crm]\nconnector = "directry"',
        "2: targets.crm.connector: there is no connector 'directry'; did you mean 'directory'?",
    ),
    (CRM + 'base_url = ""', f"4: targets.crm.base_url: {ADDRESS}"),
    (CRM + 'base_url = "ftp://x"', f"4: targets.crm.base_url: {ADDRESS}"),
    (
        CRM + '[[targets.crm.only_if]]\nfield = "itm.amount_paid"\noperator = "equal_to"\nvalue = 1',
        "5: targets.crm.only_if[0].field: there is no field 'itm.amount_paid'; did you mean 'item.amount_paid'?",
    ),
    (
        '[targets.crm]\nconnector = "directory"\ntoken = ""',
        "3: targets.crm.token: expected text of at least 1 character",
    ),
    (CRM + "concurrency = 0", "4: targets.crm.concurrency: expected 1 or more"),
    (
        CRM + 'rate_limit = ["fast"]',
        '4: targets.crm.rate_limit[0]: expected requests per time, such as "20/1s" or "100/10s"',
    ),
    (
        CRM + '[[targets.crm.only_if]]\nfield = "order.total"\noperator = "equal_to"\nvalue = 1\n'
        '[[targets.crm.only_if]]\nfeild = "order.total"\nfield = "x"\noperator = "equal_to"\nvalue = 1',
        "9: targets.crm.only_if[1].feild: unknown key; did you mean 'field'?",
    ),
    (
        CRM + 'only_if = [{ any = [{ field = "order.total", operator = "equal_to", value = 1 },\n'
        '{ all = [{ field = "order.totl", operator = "equal_to", value = 1 }] }] }]',
        "4: targets.crm.only_if[0]: there is no field 'order.totl'; did you mean 'order.total'?",
    ),
    (
        CRM + 'only_if = [{ any = [\n{ field = "order.total", operator = "equals", value = 1 }] }]',
        f"5: targets.crm.only_if[0].any[0].operator: {OPERATORS}",
    ),
    (
        CRM + 'only_if = [{ any = [{ all = [\n{ field = "order.total", operator = "in", valu = 1, value = 1 }] }] }]',
        "5: targets.crm.only_if[0].any[0].all[0].valu: unknown key; did you mean 'value'?",
    ),
    (CRM + "only_if = [{ any = [] }]", "4: targets.crm.only_if[0].any: expected at least 1 in the list"),
    (
        CRM + "[targets.crm.contact]\n'First name' = 5",
        '5: targets.crm.contact."First name": expected text, got a whole number',
    ),
    (
        '[targets.title]\nconnector = "plain"',
        "1: targets.title: a target can't be called 'title': every course has such a key",
    ),
    (
        '[targets.access]\nconnector = "plain"',
        "1: targets.access: a target can't be called 'access': every course has such a key",
    ),
]

COURSES_AND_PRODUCTS = [
    ("[courses]\nintro = 'x'", "2: courses.intro: expected a table, as in [courses.intro]"),
    ("[courses.'intro ce']", f'1: courses."intro ce": {NAME}'),
    ("[courses.intro]\ntitle = 5", "2: courses.intro.title: expected text, got a whole number"),
    ("[courses.intro]\ntitel = 'x'", "2: courses.intro.titel: unknown key; did you mean 'title'?"),
    (
        "[courses.intro]\ntables = {}",
        "2: courses.intro.tables: unknown key; expected one of: access, product_url, registration_url, title",
    ),
    ("[courses.intro]\naccess = { duration = 'x' }", f"2: courses.intro.access.duration: {DURATION}"),
    ("[courses.intro]\naccess = { graze = '3d' }", "2: courses.intro.access.graze: unknown key; did you mean 'grace'?"),
    ("[courses.intro]\nregistration_url = 'x'", f"2: courses.intro.registration_url: {ADDRESS}"),
    (CRM + "[courses.intro]\ncrm = { tag = ['a'] }", "5: courses.intro.crm.tag: unknown key; did you mean 'tags'?"),
    (CRM + "[courses.intro]\ncrm = { tags = 'a' }", "5: courses.intro.crm.tags: expected a list, got text"),
    (CRM + "[courses.intro]\ncrm = 42", "5: courses.intro.crm: expected a table, got a whole number"),
    (
        '[targets.log]\nconnector = "plain"\n[courses.intro]\nlog = {}',
        "4: courses.intro.log: target 'log' takes nothing per course; remove the table",
    ),
    ("[products]\nsource = 'ams'", "1: products: expected a list of tables: write [[products]]"),
    ("products = [1]", "1: products[0]: expected a table, as in [[products]]"),
    (SOURCE + "[[products]]\nremote_product_id = 'A'\nignore = true", "4: products[0].source: missing; it is required"),
    (
        SOURCE + "[[products]]\nsource = 'ams'\nremote_product_id = ''\nignore = true",
        "6: products[0].remote_product_id: expected text of at least 1 character",
    ),
    (
        SOURCE + "[[products]]\nsource = 'ams'\nremote_product_id = ['A', 'B']\nignore = true",
        "6: products[0].remote_product_id: expected text, got a list",
    ),
    (
        SOURCE + "[[products]]\nsource = 'ams'\nremote_product_id = 'A'",
        "4: products[0]: expected courses, or ignore = true",
    ),
    (
        SOURCE + "[courses.a]\n[[products]]\nsource = 'ams'\nremote_product_id = 'A'\ncourses = ['a']\nignore = true",
        "5: products[0]: expected courses or ignore = true, not both",
    ),
    (
        SOURCE + "[[products]]\nsource = 'amz'\nremote_product_id = 'A'\nignore = true",
        "5: products[0].source: there is no source 'amz'; did you mean 'ams'?",
    ),
    (
        SOURCE + "[[products]]\nsource = 'ams'\nremote_product_id = 'A'\ncourses = ['intro']",
        "7: products[0].courses[0]: there is no course 'intro'",
    ),
    (
        "[courses.a]\n[[products]]\nsource = 'ams'\nremote_product_id = 'A'\ncourses = 'a'",
        "5: products[0].courses: expected a list, got text",
    ),
]

ACROSS = [
    (
        SOURCE + "[sources.shop]\nadapter = 'shop'\napi_key = ['${OTHER}', '${KEY}']",
        "6: sources.shop.api_key[1]: source 'shop' has the same key as source 'ams' (line 3); each needs its own",
    ),
    (
        SOURCE + "[courses.a]\n[[products]]\nsource = 'ams'\nremote_product_id = 7\ncourses = ['a']\n"
        "[[products]]\nsource = ['ams']\nremote_product_id = '7'\nignore = true",
        "11: products[1].remote_product_id: product '7' of source 'ams' is mapped already (line 7)",
    ),
    (
        SOURCE + "[sources.shop]\nadapter = 'silent'\nsame_orders_as = 'asm'",
        "6: sources.shop.same_orders_as: there is no source 'asm'; did you mean 'ams'?",
    ),
    (
        SOURCE + "echo_of = 'crn'\n" + CRM,
        "4: sources.ams.echo_of: there is no target 'crn'; did you mean 'crm'?",
    ),
    (
        SOURCE + "accept_enrollments = true",
        "4: sources.ams.accept_enrollments: goes with echo_of: a source without it accepts them anyway",
    ),
    (SOURCE + "same_orders_as = 'ams'", "4: sources.ams.same_orders_as: expected the name of another source"),
]


@pytest.mark.parametrize(("text", "expected"), OWN_SECTIONS + SOURCES_AND_TARGETS + COURSES_AND_PRODUCTS + ACROSS)
def test_a_fault_is_told_with_line_key_and_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    """One fault, one line, nothing else."""
    assert refusal(tmp_path, text, OTHER="shop-key-2", **ENV) == [f"bridge.toml:{expected}"]


def test_a_faulty_source_is_still_a_known_name(tmp_path: Path) -> None:
    """One mistake is not told a second time by everything that refers to it."""
    text = "[sources.ams]\nadapter = 'shop'\n[[products]]\nsource = 'ams'\nremote_product_id = 'A'\nignore = true"
    assert refusal(tmp_path, text) == ["bridge.toml:1: sources.ams.api_key: missing; it is required"]


def test_a_course_of_a_target_without_known_connector_is_not_blamed(tmp_path: Path) -> None:
    """Nobody knows what its table should hold."""
    text = "[targets.lms]\nconnector = 'elevat'\n[courses.a]\nlms = { anything = 1 }"
    assert refusal(tmp_path, text) == [
        "bridge.toml:2: targets.lms.connector: there is no connector 'elevat'; did you mean 'elevate'?"
    ]


def test_an_address_is_looked_at_although_the_rest_of_its_table_is_wrong(tmp_path: Path) -> None:
    """All faults of a table are said at once."""
    assert refusal(tmp_path, CRM + 'base_url = "crm"\nconcurrency = 0', **ENV) == [
        f"bridge.toml:4: targets.crm.base_url: {ADDRESS}",
        "bridge.toml:5: targets.crm.concurrency: expected 1 or more",
    ]


def test_an_address_that_leads_nowhere_is_one_fault(tmp_path: Path) -> None:
    """What stands for an unset variable is not judged as an address."""
    (only,) = refusal(tmp_path, CRM + 'base_url = "${NOWHERE}"', **ENV)
    assert only.endswith("the environment variable NOWHERE is not set")


@pytest.mark.parametrize("field", ["livemode", "learner.attributes.chapter", "order.total", "source.namespace"])
def test_a_condition_may_look_at(tmp_path: Path, field: str) -> None:
    """Every part of the command that there is, and into the sender's own attributes."""
    loaded(tmp_path, f'{CRM}[[targets.crm.only_if]]\nfield = "{field}"\noperator = "equal_to"\nvalue = 1', **ENV)


def test_nobody_is_told_that_a_key_was_meant_to_be_itself() -> None:
    """Of a union, another branch may have the key that this one does not take."""
    assert unknown_key("fields", {"fields", "add", "object"}) == "unknown key; expected one of: add, object"
