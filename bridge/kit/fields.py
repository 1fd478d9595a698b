"""Field paths, templates and conditions over commands: ``{learner.first_name}``, ``order.total`` > 0."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from bridge.contract.settings import AllOf, AnyOf, Condition, Rule

_PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_.]*)\}", re.IGNORECASE)


def value_at(path: str, roots: Mapping[str, Any]) -> Any:
    """Return what stands at a dotted path such as ``learner.attributes.chapter``; None where nothing does."""
    head, *rest = path.split(".")
    found = roots.get(head)
    for name in rest:
        if found is None:
            return None
        found = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
    return found


def as_text(value: Any) -> str:
    """Return a value the way CRMs take it: ``true``/``false``, ISO 8601 dates, plain decimals, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, list | tuple):
        return ";".join(as_text(item) for item in value)
    if isinstance(value, set | frozenset):  # in the same order every time: a CRM takes another order for a change
        return ";".join(sorted(as_text(item) for item in value))
    return str(value)


def placeholders(template: str) -> list[str]:
    """Return the paths that a template names."""
    return _PLACEHOLDER.findall(template)


def stray_brace(template: str) -> bool:
    """Say whether a brace stands outside every ``{path}``: it would be sent as it is, and was hardly meant so."""
    return not {"{", "}"}.isdisjoint(_PLACEHOLDER.sub("", template))


def render(template: str, roots: Mapping[str, Any]) -> str:
    """Fill ``{path}`` placeholders; an absent value leaves nothing behind."""
    return _PLACEHOLDER.sub(lambda match: as_text(value_at(match[1], roots)), template)


def number_of(value: Any) -> Decimal | None:
    """Return a value as the number that it is or spells; None where it is none."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def holds(condition: Condition, roots: Mapping[str, Any]) -> bool:
    """Say whether one condition holds. Numbers compare as numbers, everything else as text; absent is never greater."""
    found, wanted = value_at(condition.field, roots), condition.value
    if condition.operator == "in":
        options = wanted if isinstance(wanted, list | tuple) else [wanted]
        return as_text(found) in [as_text(option) for option in options]
    if condition.operator == "contains":
        return as_text(wanted) in (as_text(found).split(";") if isinstance(found, list | tuple) else as_text(found))
    left, right = number_of(found), number_of(wanted)
    if condition.operator in ("greater_than", "less_than"):
        if left is None or right is None:
            return False
        return left > right if condition.operator == "greater_than" else left < right
    equal = left == right if left is not None and right is not None else as_text(found) == as_text(wanted)
    return equal if condition.operator == "equal_to" else not equal


def all_hold(rules: Iterable[Rule], roots: Mapping[str, Any]) -> bool:
    """Say whether every rule holds; no rule holds always."""
    return all(_rule_holds(rule, roots) for rule in rules)


def _rule_holds(rule: Rule, roots: Mapping[str, Any]) -> bool:
    match rule:
        case AllOf():
            return all_hold(rule.all, roots)
        case AnyOf():
            return any(_rule_holds(one, roots) for one in rule.any)
        case _:
            return holds(rule, roots)
