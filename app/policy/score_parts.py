"""What a score may be made of: findings that are numbers from 0 to 1."""

from collections.abc import Collection, Iterator, Mapping

from app.errors import PolicyProblem
from app.policy.draft import Draft
from app.policy.source import Path, Source
from app.policy.vocabulary import Kind, Vocabulary, did_you_mean

#: What is said of names that are something else.
_OTHERS: Mapping[Kind, str] = {Kind.BOOL: "true or false", Kind.INT: "a whole number", Kind.STRING: "a text"}


def check_parts(
    draft: Draft, source: Source, vocabulary: Vocabulary, unread: Collection[str]
) -> Iterator[PolicyProblem]:
    """`unread` are the names that would never be known, because every text source of them is switched off."""
    parts = {name: kind for name, kind in vocabulary.kinds.items() if _other(name, kind) is None}
    known = Vocabulary(parts, {})
    for name, score in draft.scores.items():
        form = next(iter(score.model_dump(exclude_none=True)))
        given: set[str] = set()
        for index, part in enumerate(score.parts):
            path: Path = ("scores", name, form, part if form == "weighted" else index)
            place = source.key_problem if form == "weighted" else source.problem
            if part not in parts:
                yield place(path, _refusal(part, vocabulary), hint=_hint(part, known, draft.ids["categories"]))
            elif part in unread:
                message = f"`{part}` would never be known: every text source of it is switched off"
                yield place(path, message, hint="`defaults.signals` switches signals on and off")
            elif part in given:
                yield place(path, f"`{part}` is given twice")
            given.add(part)


def _other(name: str, kind: Kind) -> str | None:
    """What a name is that no score can be made of."""
    if name.startswith("thresholds."):
        return "a threshold"
    if name.startswith("scores."):
        return "a score itself"
    if name.endswith(".mass"):
        return "only how sure it is that there was an answer"
    return _OTHERS.get(kind)


def _refusal(part: str, vocabulary: Vocabulary) -> str:
    kind = vocabulary.kinds.get(part)
    what = None if kind is None else _other(part, kind)
    if what is None:
        return f"a score is made of findings, and `{part}` is none"
    return f"a score is made of findings from 0 to 1, and `{part}` is {what}"


def _hint(part: str, known: Vocabulary, categories: Collection[str]) -> str | None:
    if part.startswith("scores."):
        return "name the findings that it is made of"
    if part.startswith("text.score.") and (category := part.removeprefix("text.score.")) in categories:
        return f"no list has the category `{category}`"
    if "." not in part or not known.kinds:
        return did_you_mean(part, known.kinds)
    return known.suggest(part)
