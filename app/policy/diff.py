"""What changed between two policies, as text."""

import difflib


def policy_diff(old: str, new: str, *, before: str, after: str) -> str:
    """A unified diff; empty when they are equal. Of long texts with little in common it takes seconds: not for an event
    loop."""
    return "".join(
        line if line.endswith("\n") else f"{line}\n"
        for line in difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), before, after)
    )
