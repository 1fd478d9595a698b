"""JMESPath expressions that an operator writes: checked when the settings are read, compiled once, evaluated safely.

An expression is evaluated on the body, on a row of it or on an order line; whatever stands there, it gives a value or
:class:`ExpressionFailed`. Besides the functions of the JMESPath specification there are:

=========================  ====================================================================
``body()``, ``row()``      the whole body, and the row where one post has many
``query()``                the parameters of the address, as an object
``header('x-topic')``      a header; its name must stand there as it is
``concat(a, '-', b)``      the texts put together; null when one of them is missing
``lower(a)``, ``upper(a)``, ``trim(a)``
``split(a, ',')``          a list of texts
``replace(a, ',', '')``    the text with each occurrence replaced
``from_json(a)``           what a text holds as JSON; null when it is none
=========================  ====================================================================

Source: the JMESPath specification and the reference implementation that is used here.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

import orjson
from jmespath.exceptions import (
    EmptyExpressionError,
    IncompleteExpressionError,
    JMESPathError,
    JMESPathTypeError,
    LexerError,
    ParseError,
)
from jmespath.functions import TYPES_MAP, Functions, signature
from jmespath.lexer import Lexer
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_LARGEST = 2**63 - 1
_EXCERPT = 20

_QUOTE = "a name that holds anything but a-z, 0-9 and _ stands in double quotes: '\"first-name\"'"
_HINTS = (
    (r"\{\{.*\}\}|~.+~|\*\|.*\|\*|%.+%", "write the path alone, without the signs of a merge field: customer.email"),
    (r"^\s*\$", "leave out the $: a path begins with a field of the body, such as customer.email"),
    (r"(?<![=!<>])=(?!=)", "two values are compared with =="),
    (r"\s(and|or)\s|\bnot\s", "and, or and not are written &&, || and !"),
    (r"[<>=]\s*-?\d", "a number stands in backquotes: `10`"),
    (r"\.\[?\d", "a place in a list stands in brackets, counted from 0: items[0]"),
    (r"\[\s*['\"]", "a field is read with a point: customer.email"),
    (r"\w-\w|[^\x00-\x7f]|\w\s+\w|/", _QUOTE),
)
_GENERAL = "a path is the names of fields with points between them, such as customer.email"


class ExpressionFailed(Exception):
    """An expression can't be worked out on what the sender wrote. The message repeats nothing of it."""


class Expression:
    """A compiled expression; as a field of a settings model it takes text.

    Attributes:
        text: as written.
        names: of all fields that it reads, at any depth.
        headers: that it reads, in lower case.
    """

    __slots__ = ("_tree", "headers", "names", "text")

    def __init__(self, text: str) -> None:
        """Compile ``text``.

        Raises:
            ValueError: it is no expression; the message says where, and what was probably meant.
        """
        self.text = text
        try:
            self._tree, self.names, self.headers = _analysed(text)
        except RecursionError:
            raise ValueError("expected a JMESPath expression; this one is nested too deeply") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __str__(self) -> str:
        return self.text

    @property
    def constant(self) -> Any:
        """The value of an expression that is one literal, such as ``'enroll'``; else None."""
        return self._tree.get("value") if self._tree["type"] == "literal" else None

    def evaluate(self, value: Any, scope: Scope) -> Any:
        """Work it out on ``value``.

        Raises:
            ExpressionFailed: a function was given what it can't take.
        """
        try:
            return scope.interpreter.visit(self._tree, value)
        except JMESPathTypeError as wrong:
            kind = TYPES_MAP.get(wrong.actual_type, wrong.actual_type)
            raise ExpressionFailed(f"{wrong.function_name}() can't take {kind}") from None
        except (JMESPathError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError):
            raise ExpressionFailed("a function can't take what stands there") from None
        except RecursionError:
            raise ExpressionFailed("it is nested too deeply") from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )


class Scope(Functions):
    """What functions see of one event: its body, the row that is looked at, query and headers."""

    def __init__(self, body: Any, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Start with the body as the only row."""
        self.row = body
        self.interpreter = TreeInterpreter(Options(custom_functions=self))
        self._body = body
        self._query = query
        self._headers = headers

    @signature()
    def _func_body(self) -> Any:
        return self._body

    @signature()
    def _func_row(self) -> Any:
        return self.row

    @signature()
    def _func_query(self) -> dict[str, str]:
        return dict(self._query)

    @signature({"types": ["string"]})
    def _func_header(self, name: str) -> str | None:
        return self._headers.get(name.lower())

    @signature({"types": [], "variadic": True})
    def _func_concat(self, *parts: Any) -> str | None:
        texts = [_text(part) for part in parts]
        return "".join(text for text in texts if text) if all(texts) else None

    @signature({"types": []})
    def _func_lower(self, value: Any) -> str | None:
        text = _text(value)
        return None if text is None else text.lower()

    @signature({"types": []})
    def _func_upper(self, value: Any) -> str | None:
        text = _text(value)
        return None if text is None else text.upper()

    @signature({"types": []})
    def _func_trim(self, value: Any) -> str | None:
        text = _text(value)
        return None if text is None else text.strip()

    @signature({"types": []}, {"types": ["string"]})
    def _func_split(self, value: Any, separator: str) -> list[str] | None:
        text = _text(value)
        return None if text is None else [part.strip() for part in text.split(separator)]

    @signature({"types": []}, {"types": ["string"]}, {"types": ["string"]})
    def _func_replace(self, value: Any, old: str, new: str) -> str | None:
        text = _text(value)
        return None if text is None else text.replace(old, new)

    @signature({"types": []})
    def _func_from_json(self, value: Any) -> Any:
        try:
            return orjson.loads(value) if isinstance(value, str) else None
        except orjson.JSONDecodeError:
            return None


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) <= _LARGEST:
        return str(value)
    return str(value) if isinstance(value, float) else None


@lru_cache(maxsize=4_096)
def _analysed(text: str) -> tuple[Any, frozenset[str], frozenset[str]]:
    tree = _compiled(text)
    nodes = list(_nodes(tree))
    _check_functions(text, nodes)
    names = frozenset(node["value"] for node in nodes if node["type"] == "field")
    return tree, names, frozenset(_headers(nodes))


def _compiled(text: str) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = cast("dict[str, Any]", Parser().parse(text).parsed)
    except EmptyExpressionError:
        raise ValueError("expected a JMESPath expression, such as customer.email; it is empty") from None
    except PendingDeprecationWarning:
        raise ValueError("expected JSON between backquotes; text is written in single quotes: 'paid'") from None
    except IncompleteExpressionError:
        raise _wrong(text, len(text), "it ends too early") from None
    except LexerError as wrong:
        raise _unread(text, wrong) from None
    except ParseError as wrong:
        said = f"{_shown(wrong.token_value)} can't stand there" if wrong.token_value != "" else "it ends too early"
        raise _wrong(text, wrong.lex_position, said) from None
    except (ValueError, TypeError, LookupError):  # a number with thousands of digits, a stray backslash at the end
        raise _wrong(text, 0, "it can't be read") from None
    _check_text(text)
    return tree


def _unread(text: str, wrong: LexerError) -> ValueError:
    at = wrong.lexer_position
    if "Unclosed" in wrong.message:
        return _wrong(text, at, f"what begins with {text[at]} has no end")
    if text[at : at + 1] == "`":
        return _wrong(text, at, "between backquotes stands no JSON", "text is written in single quotes: 'paid'")
    return _wrong(text, at, f"{_shown(text[at : at + 1])} can't stand there")


def _wrong(text: str, at: int, what: str, hint: str = "") -> ValueError:
    place = f"at character {at + 1}" if at < len(text) else f"after {_shown(text[-_EXCERPT:])}"
    hint = hint or next((said for pattern, said in _HINTS if re.search(pattern, text)), _GENERAL)
    return ValueError(f"expected a JMESPath expression, but {what}, {place}; {hint}")


def _shown(token: Any) -> str:
    return f"'{str(token)[:_EXCERPT]}'"


def _check_text(text: str) -> None:
    """Refuse ``type == "paid"``: it is valid, compares two fields, and is never what was meant."""
    tokens = list(Lexer().tokenize(text))
    for token, following in pairwise(tokens):
        if token["type"] in ("eq", "ne") and following["type"] == "quoted_identifier":
            raise ValueError(
                f"expected text in single quotes at character {following['start'] + 1}: '{following['value']}'; "
                "in double quotes it is the name of a field (if that is meant, write it before the ==)"
            )


def _check_functions(text: str, nodes: list[dict[str, Any]]) -> None:
    for node in nodes:
        if node["type"] != "function_expression":
            continue
        name, given = node["value"], len(node["children"])
        known = Scope.FUNCTION_TABLE.get(name)
        place = f"at character {text.find(name) + 1}"
        if known is None:
            nearest = get_close_matches(name, sorted(Scope.FUNCTION_TABLE), n=1)
            instead = (
                f"did you mean {nearest[0]}()?" if nearest else f"known: {', '.join(sorted(Scope.FUNCTION_TABLE))}"
            )
            raise ValueError(f"there is no function {name}(), {place}; {instead}")
        wanted = len(known["signature"])
        variadic = wanted > 0 and known["signature"][-1].get("variadic", False)
        if given < wanted or (given > wanted and not variadic):
            least = "at least " if variadic else ""
            raise ValueError(f"{name}() takes {least}{_values(wanted)}, not {given}, {place}")
        if name == "header" and (node["children"][0]["type"] != "literal" or not node["children"][0]["value"]):
            raise ValueError(f"expected the header's name in single quotes, as in header('x-topic'), {place}")


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"


def _headers(nodes: list[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        if node["type"] == "function_expression" and node["value"] == "header":
            yield str(node["children"][0]["value"]).lower()


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.get("children", ()):
            yield from _nodes(child)
