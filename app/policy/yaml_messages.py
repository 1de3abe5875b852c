"""What the YAML reader says of a broken file, in words for people who write policies."""

import re

import yaml

from app.errors import PolicyProblem
from app.policy.source import Source

#: A key with nothing before it in its line, but the sign of a list item.
_KEY_ALONE = re.compile(r"\s*(?:- +)*[\w.-]+$")
_MERGE_CONFLICT = re.compile(r"(?:<{7}|={7}|>{7})(?: |$)")
_QUOTED = re.compile(r"""("[^"]*"|'[^']*')\s*$""")
_QUOTE_WHOLE = "a text with `: `, ` #`, or within brackets a comma, a bracket or a `?`, stands in quotes"
_CLOSED = "put the whole value in quotes of the other kind; within `'…'` an apostrophe is written twice"
_NOT_FITTING = "this does not fit what stands above"
#: Part of what the reader says, what is said of it (`{0}` is the character there), and a hint.
_SAID = (
    ("'\\t'", "a tab where YAML wants spaces", "indent with spaces"),
    ("cannot start any token", "a text cannot begin with `{0}`", "put it in quotes"),
    ("expected <block end>", _NOT_FITTING, "check the indentation"),
    ("another document", "a policy is one document: `---` cannot stand here", None),
    ("'<stream end>'", "the text ends before what was begun is complete", None),
)


def yaml_problem(source: Source, error: yaml.MarkedYAMLError) -> PolicyProblem:
    """Where reading stopped, why, and what to do about it."""
    opened = error.context_mark
    mark = error.problem_mark or opened
    at = mark.index if mark else 0
    message = error.problem or error.context or "cannot be read as YAML"
    if "could not find expected ':'" in message and opened is not None:
        return _no_colon(source, opened.index)
    if error.context == "while scanning a quoted scalar" and opened is not None:
        return source.problem_at(opened.index, "this quote is not closed")
    if error.context in ("while scanning a block scalar", "while scanning a tag"):
        message = "`!`, `>` and `|` mean something else to YAML here"
        return source.problem_at(at, message, hint="put the whole condition in quotes")
    which = f" in line {opened.line + 1}" if opened else ""
    said, hint = _known(message, error.context, source.text, at, which) or (message, None)
    return source.problem_at(at, said, hint=hint)


def _known(message: str, context: str | None, text: str, at: int, which: str) -> tuple[str, str | None] | None:
    """Words and a hint for what the reader says; `which` names the line of what was opened."""
    before, rest = _line(text, at)
    if "mapping values are not allowed" in message:
        if _KEY_ALONE.match(before):
            return _NOT_FITTING, "check the indentation, and that the line above has its `: `"
        return "a `:` where no key can stand", "put a text that contains `: ` in quotes"
    if _QUOTED.search(before) and rest.strip():
        return "the quote is closed before this", _CLOSED
    if context in ("while parsing a flow mapping", "while parsing a flow sequence"):
        return f"the bracket opened{which} is not closed before this", _QUOTE_WHOLE
    for part, said, hint in _SAID:
        if part in message:
            return said.format(text[at : at + 1]), hint
    return None


def _no_colon(source: Source, at: int) -> PolicyProblem:
    """A line that should be `key: value`; the reader only notices at the end of the next one."""
    line = source.problem_at(at, "").source_line or ""
    if _MERGE_CONFLICT.match(line):
        hint = "decide between the two versions, and take the lines of `<`, `=` and `>` out"
        return source.problem_at(at, "a merge conflict that was not resolved", hint=hint)
    if "\uff1a" in line:
        hint = "`\uff1a` is the full-width form of `:`; write `: `"
    else:
        hint = "write `key: value`, with a space after the `:`"
    return source.problem_at(at, "there is no `: ` in this line", hint=hint)


def _line(text: str, at: int) -> tuple[str, str]:
    """What stands in the line before a place, and after it."""
    end = text.find("\n", at)
    return text[text.rfind("\n", 0, at) + 1 : at], text[at : end if end >= 0 else len(text)]
