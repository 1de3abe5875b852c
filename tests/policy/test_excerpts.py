"""What is shown of a line with a mistake: nothing that steers a terminal, and the caret below the right character."""

import pytest

from app.errors import PolicyInvalid, PolicyProblem
from app.policy.load import build_ruleset
from tests.policy.build import LISTS


def problem(line: str, column: int) -> PolicyProblem:
    return PolicyProblem("p.yaml", 3, column, "wrong", source_line=line)


@pytest.mark.parametrize(
    ("line", "column", "shown"),
    [
        ("a: bad", 4, ("a: bad", "   ^")),
        ("原因: bad", 5, ("原因: bad", "\u3000\u3000  ^")),
        ("\ta: bad", 5, ("\ta: bad", "\t   ^")),
        ("a: \x1b[2Jbad\x07", 4, ("a: \ufffd[2Jbad\ufffd", "   ^")),
        ("a: \u202ebad", 5, ("a: \ufffdbad", "    ^")),
        ("a:", 6, ("a:", "     ^")),
    ],
)
def test_a_line_and_its_caret(line: str, column: int, shown: tuple[str, str]) -> None:
    assert problem(line, column).excerpt == shown


def test_of_a_long_line_the_part_around_the_mistake() -> None:
    line, caret = problem("界" * 500 + "X" + "界" * 500, 501).excerpt
    assert len(line) == 160
    assert line[len(caret) - 1] == "X"


def test_escapes_in_a_policy_do_not_reach_the_terminal() -> None:
    text = 'version: 1\ncategories: {goods: {title: {en: Goods}, severity: "\\e[31mhigh"}}\n"\\e[2J": 1\nrules: []\n'
    with pytest.raises(PolicyInvalid) as invalid:
        build_ruleset(text.encode(), LISTS)
    assert "unknown field `\ufffd[2J`" in invalid.value.detail
    assert "\x1b" not in invalid.value.detail
