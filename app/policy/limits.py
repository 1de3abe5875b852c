"""How much a policy may hold, counted before anything is made of it: checking takes time for each part."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import PolicyProblem
from app.policy.source import Source

#: The largest policies that are known have some 500 rules.
MAX_PARTS: Mapping[str, int] = {
    "categories": 500,
    "thresholds": 1000,
    "probes": 500,
    "scores": 500,
    "rules": 2000,
    "surfaces": 50,
}
#: Of all rules together.
MAX_CONDITIONS = 10_000


def too_much(value: Any, source: Source) -> Iterator[PolicyProblem]:
    """What a document's plain value has too much of."""
    if not isinstance(value, dict):
        return
    for section, limit in MAX_PARTS.items():
        parts = value.get(section)
        if isinstance(parts, dict | list) and len(parts) > limit:
            yield source.key_problem((section,), f"a policy has at most {limit} {section}, and this has {len(parts)}")
    rules = value.get("rules")
    conditions = 0
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        conditions += _conditions(rule.get("when")) if isinstance(rule, dict) else 0
        if conditions > MAX_CONDITIONS:
            yield source.key_problem(("rules", index, "when"), f"a policy has at most {MAX_CONDITIONS} conditions")
            return


def _conditions(when: Any) -> int:
    if isinstance(when, dict):
        return sum(_conditions(part) for part in when.values())
    return sum(_conditions(part) for part in when) if isinstance(when, list) else 1
