"""What need not be waited for: of the findings that are still to come, those that can change nothing any more.

What is to come counts as skipped, and conditions are decided in three values over that. A condition that is true or
false all the same is so whatever comes (numbers that can only rise are bounds), and so is a rule that is. So only what
an undecided condition of an undecided rule speaks of can still matter: for the truth of live and shadow rules, not only
for the outcome. A binding list holds its rule in place by how many matches it has, whether or not conditions speak of
that.
"""

from collections.abc import Collection, Iterable

from app.domain import Evaluation, Findings, KeywordList, TextSource, Truth, UploadContext
from app.policy.evaluate import evaluate
from app.policy.ruleset import Ruleset
from app.policy.vocabulary import probe_of

#: Of the names that every policy knows, those that are not known from the start.
_FOUND = {
    "text.chars": frozenset({TextSource.OCR.value, TextSource.MODEL_TEXT.value}),
    "codes.count": frozenset({TextSource.QR.value}),
}


def still_open(
    ruleset: Ruleset, findings: Findings, context: UploadContext, *, model_digest: str | None, pending: Collection[str]
) -> frozenset[str]:
    """Which of `pending` can still change the truth of a live or shadow rule, or what is set aside by whom.

    `pending` names what is to come: text sources (`ocr`, `scene` …), and probes as `probes.<id>`. In `findings` none of
    those is ok, but for readings of a probe that are there already.
    """
    waiting = frozenset(pending)
    if findings.keywords.cut and waiting & {source.value for source in TextSource}:
        return waiting  # how many matches are recorded of which text depends on how many there are
    evaluation = evaluate(ruleset, findings, context, model_digest=model_digest)
    return waiting & frozenset(_matter(ruleset, evaluation))


def _matter(ruleset: Ruleset, evaluation: Evaluation) -> Iterable[str]:
    """Everything that what is undecided hangs on, whether it is to come or not."""
    program = ruleset.program_for(evaluation.surface)
    binding = {compiled.rule.id: compiled.binding for compiled in program.rules}
    lists = {keywords.name: keywords for keywords in ruleset.needs.lists}
    for rule in evaluation.rules:
        if rule.result is Truth.UNKNOWN:
            for leaf in rule.trace:
                if leaf.result is Truth.UNKNOWN:
                    for name in leaf.values:
                        yield from _hangs_on(ruleset, name, lists)
        if rule.result is not Truth.FALSE:
            for name in binding.get(rule.id, ()):
                yield from _read_for([lists[name]])


def _hangs_on(ruleset: Ruleset, name: str, lists: dict[str, KeywordList]) -> frozenset[str]:
    """The findings that the value of a name comes from."""
    family, _, rest = name.partition(".")
    match family:
        case "probes":
            return frozenset({f"probes.{probe_of(name)}"})
        case "scores":
            parts = ruleset.policy.scores[rest].parts
            return frozenset().union(*(_hangs_on(ruleset, part, lists) for part in parts))
        case "keywords":
            return _read_for([lists[rest.partition(".")[0]]])
        case "text" if rest.startswith("score."):
            category = rest.removeprefix("score.")
            return _read_for(keywords for keywords in lists.values() if keywords.category == category)
        case _:
            return _FOUND.get(name, frozenset())


def _read_for(lists: Iterable[KeywordList]) -> frozenset[str]:
    return frozenset(source.value for keywords in lists for source in keywords.sources)
