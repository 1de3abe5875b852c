"""The wording of every mistake and warning: `golden/<name>.yaml` gives exactly `golden/<name>.txt`.

To accept new wording, run `python -m tests.policy.test_golden` and read the diff.
"""

from pathlib import Path

import pytest

from app.errors import PolicyInvalid
from app.policy.load import build_ruleset
from tests.policy.build import LISTS

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.yaml"))


def told(name: str) -> str:
    try:
        ruleset = build_ruleset((GOLDEN / f"{name}.yaml").read_bytes(), LISTS)
    except PolicyInvalid as invalid:
        return f"{invalid}\n"
    return "".join(f"warning: {one.render()}\n" for one in ruleset.warnings) or "no problem\n"


@pytest.mark.parametrize("name", CASES)
def test_the_mistake_is_told_in_these_words(name: str) -> None:
    assert told(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_case_is_a_mistake() -> None:
    assert len(CASES) >= 12
    assert not [name for name in CASES if told(name) == "no problem\n"]


if __name__ == "__main__":
    for case in CASES:
        (GOLDEN / f"{case}.txt").write_text(told(case), encoding="utf-8")
