"""What a policy owner is told who edited an older version: all of a small change, and the outline of a large one."""

import difflib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.diff import policy_diff

LINES = st.lists(st.sampled_from(["a", "b", "  c: 1", "@@ -1 +1 @@", ""]), max_size=30).map("\n".join)


def diff(old: str, new: str) -> str:
    return policy_diff(old, new, before="read", after="in force")


def applied(old: str, changes: str) -> list[str]:
    """The lines that a unified diff makes of the old ones; every line that it keeps or takes away has to be there."""
    lines, made, at = old.splitlines(), [], 0
    for line in changes.splitlines()[2:]:
        if line.startswith("@@ "):
            start, _, count = line.split()[1][1:].partition(",")
            begin = int(start) - (count != "0")
            made += lines[at:begin]
            at = begin
        elif line[:1] == "+":
            made.append(line[1:])
        else:
            assert lines[at] == line[1:]
            made += [line[1:]] if line[:1] == " " else []
            at += 1
    return made + lines[at:]


@given(LINES, LINES)
def test_a_diff_makes_the_new_text_of_the_old_one(old: str, new: str) -> None:
    assert applied(old, diff(old, new)) == new.splitlines()


def policy(rules: int, **changed: str) -> str:
    when = {f"r{at}": f"image.width > {at}" for at in range(rules)} | changed
    return "version: 1\nrules:\n" + "".join(
        f"  - id: {name}\n    when: {text}\n" for name, text in when.items() if text
    )


def test_a_small_change_of_a_large_policy_is_shown_as_difflib_would() -> None:
    old, new = policy(2000), policy(2000, r1500="image.height > 3")
    expected = difflib.unified_diff(old.splitlines(True), new.splitlines(True), "read", "in force")
    assert diff(old, new) == "".join(expected)
    assert diff(old, old) == ""


def test_of_a_large_change_the_rules_are_told() -> None:
    old = policy(500)
    new = policy(500, **{f"r{at}": "image.height > 3" for at in range(400)}, r499="", other="image.width > 3")
    listed = ", ".join(f"r{at}" for at in range(50))
    assert diff(old, new).splitlines() == [
        "--- read",
        "+++ in force",
        "# too much changed to be shown: 1002 lines became 1002, and line 4 is the first to differ",
        f"# rules that are changed: {listed} and 350 more",
        "# rules that are new: other",
        "# rules that are gone: r499",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x\n" * 300, "x\ny\n" * 160),
        ("x\ny\n" * 99, "y\nx\nx\n" * 66),
        ("a\n" * 199 + "b\n", "c\n" + "a\nd\n" * 199),
        ("\n" * 500_000, "a" + "\n" * 400_000),
        ("- id: a\n" * 60_000, "- id: b\n" * 60_000),
        ("x\n" * 400, "y\n" * 400 + "-" + " " * 500_000),
        ("x\n" * 400, "y\n" * 400 + "- {" + " \t" * 250_000),
    ],
)
def test_no_texts_take_long_to_compare(old: str, new: str) -> None:
    began = time.process_time()
    diff(old, new)
    assert time.process_time() - began < 2
