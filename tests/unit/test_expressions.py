"""Expressions: what is wrong with one is said where it was written; what a body does to one stays a fault of the body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from bridge.kit.expressions import Expression, ExpressionFailed, Scope
from tests.suites.inbound import ANY_JSON, ANY_TEXT, GARBAGE

QUOTE = "a name that holds anything but a-z, 0-9 and _ stands in double quotes: '\"first-name\"'"
GENERAL = "a path is the names of fields with points between them, such as customer.email"

WRONG = {
    "": "expected a JMESPath expression, such as customer.email; it is empty",
    "customer.": f"but it ends too early, after 'customer.'; {GENERAL}",
    "items[0": f"but it ends too early, after 'items[0'; {GENERAL}",
    "a..b": f"but '.' can't stand there, at character 3; {GENERAL}",
    "{{email}}": "at character 2; write the path alone, without the signs of a merge field: customer.email",
    "~Contact.Email~": "at character 1; write the path alone, without the signs of a merge field: customer.email",
    "$.customer": "at character 1; leave out the $: a path begins with a field of the body, such as customer.email",
    "a = 'x'": "but '=' can't stand there, at character 3; two values are compared with ==",
    "a == 'x' and b": "but 'and' can't stand there, at character 10; and, or and not are written &&, || and !",
    "amount > 0": "but '0' can't stand there, at character 10; a number stands in backquotes: `10`",
    "items.0.id": "but '0' can't stand there, at character 7; a place in a list stands in brackets, counted from 0: items[0]",
    "a['b']": "but 'b' can't stand there, at character 3; a field is read with a point: customer.email",
    "first-name": f"but '-' can't stand there, at character 6; {QUOTE}",
    "first name": f"but 'name' can't stand there, at character 7; {QUOTE}",
    "имя": f"but 'и' can't stand there, at character 1; {QUOTE}",
    "a == 'b": f"but what begins with ' has no end, at character 6; {GENERAL}",
    "`paid`": "expected JSON between backquotes; text is written in single quotes: 'paid'",
    'type == "paid"': "expected text in single quotes at character 9: 'paid'; in double quotes it is the name of a field",
    "lenght(a)": "there is no function lenght(), at character 1; did you mean length()?",
    "a || zzz(a)": "there is no function zzz(), at character 6; known: abs, avg, body,",
    "length(a, b)": "length() takes 1 value, not 2, at character 1",
    "join('-')": "join() takes 2 values, not 1, at character 1",
    "concat()": "concat() takes at least 1 value, not 0, at character 1",
    "header(topic)": "expected the header's name in single quotes, as in header('x-topic'), at character 1",
    "(" * 3_000: "nested too deeply",
    "||".join("a" * 3_000): "nested too deeply",
    "9" * 5_000: "expected a JMESPath expression, but it can't be read",
}


class Model(BaseModel):
    email: Expression


def scope(body=None, query=None, headers=None):
    return Scope(body, query or {}, headers or {})


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:20])
def test_what_is_wrong_is_said_with_its_place_and_a_hint(text):
    """One sentence, for somebody who never saw JMESPath."""
    with pytest.raises(ValueError, match=r"^[^\n]*$") as wrong:
        Expression(text)
    assert WRONG[text] in str(wrong.value)


@pytest.mark.parametrize(
    "text", ["a.b", '"first-name"', "a[?b=='x'].c", "@", "a || b", "!a", '"a" == b', 'a == @."b c"']
)
def test_what_is_right_is_taken(text):
    """As it is written."""
    assert str(Expression(text)) == text


def test_it_is_a_field_of_a_settings_model():
    """Text goes in, text comes out, and anything else is told by its kind."""
    found = Model.model_validate({"email": "customer.email"})
    assert found.email == Expression("customer.email")
    assert hash(found.email) == hash(Expression("customer.email"))
    assert found.email != Expression("email")
    assert found.model_dump_json() == '{"email":"customer.email"}'
    assert Model.model_json_schema()["properties"]["email"]["type"] == "string"
    with pytest.raises(ValidationError, match="should be a valid string"):
        Model.model_validate({"email": 5})


def test_it_says_what_it_reads():
    """So that no credential is read, and the headers that are needed are kept."""
    found = Expression("a.b[?c=='x'].\"d e\" || header('X-Topic') || query().f")
    assert found.names == {"a", "b", "c", "d e", "f"}
    assert found.headers == {"x-topic"}
    assert Expression("'enroll'").constant == "enroll"
    assert Expression("enroll").constant is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("body().total", 5),
        ("row().id", 1),
        ("query().event", "paid"),
        ("header('X-TOPIC')", "orders/paid"),
        ("header('x-other')", None),
        ("concat(id, '-', name, '-', flag, '-', part)", "1-Ada-true-0.5"),
        ("concat(id, '-', missing)", None),
        ("concat(id, '-', empty)", None),
        ("concat(id, list)", None),
        ("lower(name)", "ada"),
        ("upper(name)", "ADA"),
        ("trim('  x ')", "x"),
        ("lower(missing) || upper(list) || trim(missing) || split(missing, ',') || replace(missing, 'a', '')", None),
        ("split('a, b,c', ',')", ["a", "b", "c"]),
        ("replace('1,297', ',', '')", "1297"),
        ("from_json('{\"a\": [1]}').a[0]", 1),
        ("from_json('{') || from_json(id)", None),
    ],
)
def test_functions_besides_those_of_the_specification(text, expected):
    """What is missing gives nothing, and no fault."""
    row = {"id": 1, "name": "Ada", "flag": True, "part": 0.5, "empty": "", "list": []}
    found = scope({"total": 5}, {"event": "paid"}, {"x-topic": "orders/paid"})
    found.row = row
    assert Expression(text).evaluate(row, found) == expected


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("join('-', a)", {"a": [1]}, "join() can't take number"),
        ("length(a)", {}, "length() can't take null"),
        ("sum(a)", {"a": "secret"}, "sum() can't take string"),
        ("contains(a, b)", {"a": "secret", "b": 1}, "a function can't take what stands there"),
        ("ceil(to_number(a))", {"a": "1e999"}, "a function can't take what stands there"),
        ("split(a, '')", {"a": "secret"}, "a function can't take what stands there"),
    ],
)
def test_what_a_function_cannot_take_is_said_without_repeating_it(text, value, said):
    """A body may hold secrets and people."""
    with pytest.raises(ExpressionFailed) as failed:
        Expression(text).evaluate(value, scope(value))
    assert str(failed.value) == said


def test_a_body_that_is_nested_too_deeply_is_a_fault():
    """Comparing two such lists is more than the interpreter can do."""
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ExpressionFailed, match="too deeply"):
        Expression("a == b").evaluate({"a": deep, "b": [deep]}, scope())
    while deep:  # taken apart by hand: the collector would go down as deep
        deep = deep.pop()


@given(text=st.text(max_size=40) | st.text("ab.[]?*@'\"`|&!=<>(){},:-01 \\", max_size=40))
@GARBAGE
def test_any_text_is_an_expression_or_a_fault_in_one_line(text):
    """Nothing else escapes, whatever an operator's editor leaves behind."""
    try:
        Expression(text)
    except ValueError as wrong:
        assert str(wrong).count("\n") <= text.count("\n")  # noqa: PT017 - either outcome is right


_PATHS = st.sampled_from(
    ["a", "b", "a.b", "a[0]", "a[]", "*", "@", "a[?b]", "`1`", "'x'", "body()", "query()", "[a, b]"]
)
_CALLS = st.sampled_from(sorted(name for name in Scope.FUNCTION_TABLE if name != "header"))


def _called(name, arguments):
    wanted = len(Scope.FUNCTION_TABLE[name]["signature"])
    expects = [kinds["types"] for kinds in Scope.FUNCTION_TABLE[name]["signature"]]
    given = [f"&{text}" if "expref" in expects[place] else text for place, text in enumerate(arguments[:wanted])]
    return f"{name}({', '.join(given)})"


EXPRESSIONS = st.recursive(
    _PATHS,
    lambda inner: (
        st.builds(_called, _CALLS, st.lists(inner, min_size=3, max_size=3))
        | st.builds("{} {} {}".format, inner, st.sampled_from(["==", "<", "||", "&&"]), inner)
        | st.builds("!({})".format, inner)
    ),
    max_leaves=5,
)


@given(text=EXPRESSIONS, body=ANY_JSON | st.dictionaries(st.sampled_from("ab"), ANY_JSON), query=ANY_TEXT)
@GARBAGE
def test_any_expression_on_any_body_gives_a_value_or_fails_as_it_should(text, body, query):
    """Every function, with whatever it is given."""
    try:
        Expression(text).evaluate(body, scope(body, {"q": query}))
    except ExpressionFailed as failed:
        assert str(failed)  # noqa: PT017 - either outcome is right
