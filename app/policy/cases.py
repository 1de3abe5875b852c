"""Policy tests: what the policy's owner expects, said beside the policy and checked before it is put in force.

`policies.test.yaml` lies beside `policies.yaml`:

    cases:
      - name: a knife is rejected
        given: {probes.knives.p: 0.95}
        expect: reject

What a case does not give is known and harmless: nothing seen, nothing found. `unknown` says that it is not known, and
`absent`, of a probe that is asked of texts, that there is no text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from app.domain import NO_TEXT, Outcome, Status, Subject
from app.errors import PolicyProblem
from app.policy.cel_syntax import Scalar
from app.policy.evaluate import Seen
from app.policy.facts import Facts
from app.policy.hints import form_hint
from app.policy.probe_scores import Scored
from app.policy.reach import ranges_of
from app.policy.regular import read_regular
from app.policy.replay import Row, replay
from app.policy.ruleset import Ruleset
from app.policy.scores import add_scores
from app.policy.source import Path, Source
from app.policy.vocabulary import Kind, did_you_mean, join_words, probe_of
from app.policy.yaml_text import MAX_BYTES, read_yaml

UNKNOWN = "unknown"
ABSENT = "absent"
_NOT_KNOWN = "unknown in this case"
_FIELDS = ("name", "given", "expect")
_KINDS: Mapping[Kind, tuple[type, ...]] = {
    Kind.BOOL: (bool,),
    Kind.INT: (int,),
    Kind.DOUBLE: (int, float),
    Kind.STRING: (str,),
}
_NAMED_KINDS: Mapping[Kind, str] = {
    Kind.BOOL: "`true` or `false`",
    Kind.INT: "a whole number",
    Kind.DOUBLE: "a number",
    Kind.STRING: "a text",
}
_HARMLESS: Mapping[Kind, Scalar] = {Kind.BOOL: False, Kind.INT: 0, Kind.DOUBLE: 0.0, Kind.STRING: ""}
_SMALL_PICTURE: Mapping[str, Scalar] = {
    "image.width": 800,
    "image.height": 600,
    "image.frames": 1,
    "image.size_bytes": 100_000,
    "image.format": "jpeg",
}


@dataclass(frozen=True, slots=True)
class CasesReport:
    """`failures` name what the policy does otherwise than expected, or what is wrong with the cases themselves: one
    case may have several. `failing` counts the cases that have any."""

    cases: int
    failures: tuple[PolicyProblem, ...] = ()
    failing: int = 0


def cases_path(policy_path: FilePath) -> FilePath:
    """`policies.test.yaml` of `policies.yaml`."""
    return policy_path.with_name(f"{policy_path.stem}.test.yaml")


def run_cases(ruleset: Ruleset, path: FilePath) -> CasesReport:
    """A file that is not there has no cases."""
    try:
        data = read_regular(path, MAX_BYTES + 1)
    except FileNotFoundError:
        return CasesReport(0)
    except OSError as error:
        return CasesReport(0, (PolicyProblem(path.name, 1, 1, f"cannot be read: {error.strerror or error}"),))
    return check_cases(ruleset, data, path.name)


def check_cases(ruleset: Ruleset, data: bytes, file: str) -> CasesReport:
    value, source, problems = read_yaml(data, file)
    if value is None or problems:
        return CasesReport(0, tuple(problems or [source.problem_at(0, "the file is empty")]))
    cases = value.get("cases") if isinstance(value, dict) else None
    if not isinstance(cases, list) or len(value) != 1:
        return CasesReport(0, (source.problem_at(0, "a file of policy tests is `cases:` with a list", hint=_FORM),))
    checked = [[*_check(ruleset, case, index, source)] for index, case in enumerate(cases)]
    failures = tuple(one for failures in checked for one in failures)
    return CasesReport(len(cases), failures, failing=sum(bool(failures) for failures in checked))


_FORM = "- name: a knife is rejected / given: {probes.knives.p: 0.95} / expect: reject"


def _check(ruleset: Ruleset, case: Any, index: int, source: Source) -> Iterator[PolicyProblem]:
    where = ("cases", index)
    if not isinstance(case, dict):
        yield source.problem(where, "a case has a `name`, what is `given`, and what to `expect`", hint=_FORM)
        return
    mistakes = [*_form_mistakes(case, source, where)]
    given = case.get("given") or {}
    if isinstance(given, dict):
        for name, value in given.items():
            mistakes += _mistakes(ruleset, name, value, source, (*where, "given", name))
    if mistakes:
        yield from mistakes
        return
    replayed = replay(ruleset, [Row(_seen(ruleset, given))])
    outcome, expected = replayed.outcome(0), Outcome(case["expect"])
    if outcome is None:
        yield source.problem((*where, "expect"), f"“{case['name']}” cannot be decided")
    elif outcome is not expected:
        by = f" by {', '.join(sorted(replayed.decided_by))}" if replayed.decided_by else ""
        message = f"“{case['name']}” is {outcome.value}{by}, and should be {expected.value}"
        yield source.problem((*where, "expect"), message)


def _form_mistakes(case: Mapping[str, Any], source: Source, where: Path) -> Iterator[PolicyProblem]:
    for word in ("name", "expect"):
        if word not in case:
            yield source.problem(where, f"`{word}` is missing", hint=_FORM)
    for word in case:
        if word not in _FIELDS:
            yield source.key_problem((*where, word), f"unknown field `{word}`", hint=did_you_mean(word, _FIELDS))
    if "expect" in case and case["expect"] not in list(Outcome):
        message = "must be `pass`, `review` or `reject`"
        hint = form_hint((*where, "expect"), "value_error", case["expect"], message)
        yield source.problem((*where, "expect"), message, hint=hint)
    if not isinstance(case.get("given") or {}, dict):
        yield source.problem((*where, "given"), "must be a mapping of names to values: `{probes.knives.p: 0.95}`")


def _mistakes(ruleset: Ruleset, name: str, value: Any, source: Source, path: Any) -> Iterator[PolicyProblem]:
    kinds = ruleset.program.compiler.kinds
    if name.startswith("thresholds."):
        yield source.key_problem(path, "thresholds are the policy's and cannot be given")
    elif name.startswith("scores."):
        score = ruleset.policy.scores.get(name.removeprefix("scores."))
        hint = f"`{name}` is made of {join_words(score.parts, 'and')}" if score else None
        yield source.key_problem(path, "scores are made of findings and cannot be given", hint=hint)
    elif name not in kinds:
        yield source.key_problem(path, f"unknown name `{name}`", hint=did_you_mean(name, kinds))
    elif value == ABSENT and kinds[name] is Kind.DOUBLE:
        if not _of_texts_alone(ruleset, name):
            yield source.problem(path, f"`{name}` is never absent: only a probe with `applies_to: text` is")
    elif value != UNKNOWN and (
        not isinstance(value, _KINDS[kinds[name]]) or (isinstance(value, bool) and kinds[name] is not Kind.BOOL)
    ):
        message = f"`{name}` is {_NAMED_KINDS[kinds[name]]}"
        hint = form_hint(path, "value_error", value, "must be a number") if kinds[name] is Kind.DOUBLE else None
        yield source.problem(path, message, hint=hint)
    elif isinstance(value, int | float) and not (whole := ranges_of({name: kinds[name]})[name]).holds(value):
        yield source.problem(path, f"`{name}` is never {value:g}", hint=f"it is {whole.shown}")


def _of_texts_alone(ruleset: Ruleset, name: str) -> bool:
    """`name` is that of a probe's `p` or `mass`."""
    probe = ruleset.policy.probes.get(probe_of(name)) if name.startswith("probes.") else None
    return probe is not None and probe.applies_to == (Subject.TEXT,)


def _seen(ruleset: Ruleset, given: Mapping[str, Any]) -> Seen:
    kinds = ruleset.program.compiler.kinds
    known: dict[str, Scalar] = {
        name: _SMALL_PICTURE.get(name, _HARMLESS[kind])
        for name, kind in kinds.items()
        if not name.startswith(("thresholds.", "scores."))
    }
    known |= {name: 1.0 for name in known if name.startswith("probes.") and name.endswith(".mass")}
    without = {probe_of(name) for name, value in given.items() if value == ABSENT and name.startswith("probes.")}
    for name, value in given.items():
        if value == UNKNOWN:
            del known[name]
        elif value != ABSENT or not name.startswith("probes."):
            known[name] = float(value) if kinds[name] is Kind.DOUBLE else value
    probes = {name: _probe(known.get(f"probes.{name}.p"), absent=name in without) for name in ruleset.policy.probes}
    facts = Facts(
        known=known,
        blame={name: (f"{name}: {_NOT_KNOWN}",) for name, value in given.items() if value == UNKNOWN},
        absent={f"probes.{name}.{part}" for name in without for part in ("p", "mass")},
    )
    return Seen(facts, probes, add_scores(facts, ruleset.policy.scores))


def _probe(p: Scalar | None, *, absent: bool) -> Scored:
    if absent:
        return Scored(Status.SKIPPED, NO_TEXT)
    if p is None:
        return Scored(Status.FAILED, _NOT_KNOWN)
    return Scored(Status.OK, p=float(p), mass=1.0)
