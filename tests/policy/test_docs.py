"""Every example of docs/policies.md is sound."""

import re
from pathlib import Path

import pytest
import yaml

from app.policy.lists import load_lists
from app.policy.load import build_ruleset
from app.policy.vocabulary import FIXED_NAMES
from app.policy.yaml_text import read_yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
#: The examples' categories are fewer than those of the lists that ship.
LISTS = [one for one in load_lists(ROOT / "rules")[0] if one.name == "contraband"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_the_example_is_sound(example: str) -> None:
    whole, _, _ = read_yaml(EXAMPLES[0].encode(), "policies.md")
    part, _, problems = read_yaml(example.encode(), "policies.md")
    assert not problems
    categories = whole["categories"] | {"contraband": {"title": {"en": "Contraband"}, "severity": "high"}}
    merged = {**whole, "categories": categories}
    for section, value in part.items():
        merged[section] = merged[section] | value if isinstance(merged.get(section), dict) else value
    build_ruleset(yaml.safe_dump(merged, allow_unicode=True, sort_keys=False).encode(), LISTS)


def test_every_fixed_name_is_in_the_table() -> None:
    assert not [name for name in FIXED_NAMES if f"`{name}`" not in TEXT]
