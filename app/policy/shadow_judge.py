"""What a policy that is only tried would have decided, from what was found for the one that decides. Pure.

Nothing is guessed: a probe that was asked in other words, or not at all, was not asked; where that matters there is
no outcome, and the comparison says what it wanted for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

from app.domain import (
    Comparison,
    Findings,
    Mode,
    Needs,
    Outcome,
    ProbeFinding,
    Status,
    Subject,
    Tried,
    UploadContext,
    has_text,
)
from app.policy.asked import never_asked
from app.policy.breath import breathe
from app.policy.evaluate import see
from app.policy.ports import Matcher
from app.policy.replay import Replayed, Row, replay
from app.policy.rows import RowReader
from app.policy.ruleset import CompiledRule, Program, Ruleset
from app.policy.scores import with_parts
from app.policy.vocabulary import probe_of


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision as it was made. `asked` is what was asked for it, `lists` the lists it was made with (name to
    digest), `extra` what was asked afterwards for the tried policy alone."""

    decision_id: str
    at: datetime
    outcome: Outcome
    findings: Findings
    context: UploadContext
    model: str | None
    asked: Needs
    lists: Mapping[str, str]
    extra: Mapping[str, ProbeFinding] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """A ruleset that is tried: its live rules are what would decide."""

    tried: Tried
    ruleset: Ruleset

    @cached_property
    def digest(self) -> str:
        """Names it among the comparisons. That of many shadow rules takes a while: not for an event loop."""
        if self.tried is Tried.POLICY:
            return self.ruleset.policy_digest
        return _rules_digest(self.ruleset, _shadow_rules(self.ruleset))

    @cached_property
    def rules(self) -> frozenset[str] | None:
        """The rules that are on trial; None where all are."""
        return None if self.tried is Tried.POLICY else frozenset(_shadow_rules(self.ruleset))

    @cached_property
    def program(self) -> Ruleset:
        return promoted(self.ruleset) if self.tried is Tried.RULES else self.ruleset


def policy_trial(ruleset: Ruleset) -> Trial:
    """A whole shadow policy."""
    return Trial(Tried.POLICY, ruleset)


def rules_trial(ruleset: Ruleset) -> Trial | None:
    """The shadow rules of a live policy, as if they were live; None where it has none."""
    return Trial(Tried.RULES, ruleset) if _shadow_rules(ruleset) else None


def promoted(ruleset: Ruleset) -> Ruleset:
    """The ruleset with its shadow rules live."""
    surfaces = {name: _promoted(program) for name, program in ruleset.surfaces.items()}
    return replace(ruleset, program=_promoted(ruleset.program), surfaces=surfaces)


def wanting(asked: Needs, wanted: Needs, *, text: bool) -> Needs | None:
    """The questions of `wanted` that `asked` does not have in the same words; None where there are none. Without a
    `text` to ask them of, those about texts are no questions."""
    had = set(asked.probes)
    probes = tuple(
        question for question in wanted.probes if question not in had and (text or question.subject is not Subject.TEXT)
    )
    return Needs(probes=probes, read_text=False, read_codes=False, describe=False) if probes else None


def judge(trial: Trial, matcher: Matcher, decided: Sequence[Decided]) -> list[Comparison]:
    """Each decision beside what the trial would have decided, in order."""
    ruleset = trial.program
    reader = RowReader(ruleset, matcher)
    rows = [_row(ruleset, reader, one) for one in decided]
    replayed = replay(ruleset, rows)
    return [_comparison(trial, replayed, at, one) for at, one in enumerate(decided)]


def not_comparable(trial: Trial, one: Decided, why: str) -> Comparison:
    """For a decision on which the trial itself failed."""
    return Comparison(
        one.decision_id, one.at, trial.tried, trial.digest, one.outcome, None, missing=(why,), whole=False
    )


def _row(ruleset: Ruleset, reader: RowReader, one: Decided) -> Row:
    breathe()
    findings = reader.refound(as_asked(one, ruleset.needs), one.lists)
    seen = see(ruleset, findings, one.context, model_digest=one.model)
    return Row(seen, never_asked(ruleset, findings, seen))


def as_asked(one: Decided, wanted: Needs) -> Findings:
    """The findings with the answers to the questions of `wanted` alone, in its words, and what was asked afterwards.
    An answer that was then not given was not asked: it came last in the queue, which no upload would."""
    had = set(one.asked.probes)
    same = {
        (question.probe, question.language, question.subject is Subject.TEXT)
        for question in wanted.probes
        if question in had
    }
    probes = {}
    for name in dict.fromkeys(question.probe for question in wanted.probes):
        first, later = one.findings.probes.get(name), one.extra.get(name)
        readings = [
            reading
            for reading in (first.readings if first else ())
            if (name, reading.language, reading.text_part is not None) in same
        ]
        readings += [reading for reading in later.readings if reading.status is Status.OK] if later else []
        if readings:
            probes[name] = ProbeFinding(readings=tuple(readings))
    return one.findings.model_copy(update={"probes": probes})


def _comparison(trial: Trial, replayed: Replayed, at: int, one: Decided) -> Comparison:
    missing = tuple(name for name, rows in replayed.missing.items() if rows[at])
    fired = (name for name, rows in replayed.fired.items() if rows[at])
    on_trial = trial.rules
    return Comparison(
        decision_id=one.decision_id,
        at=one.at,
        tried=trial.tried,
        digest=trial.digest,
        before=one.outcome,
        after=replayed.outcome(at),
        rules=tuple(name for name, rows in replayed.decided_by.items() if rows[at]),
        fired=tuple(name for name in fired if on_trial is None or name in on_trial),
        missing=missing,
        whole=_whole(trial.program, one),
    )


def _whole(ruleset: Ruleset, one: Decided) -> bool:
    """Whether every question was put, so that whether there is an outcome does not depend on what was found. What an
    early stop spared hangs on what was found."""
    extra = wanting(one.asked, ruleset.needs, text=has_text(one.context.caption))
    if extra is not None and not {question.probe for question in extra.probes} <= one.extra.keys():
        return False
    wanted = {question.probe for question in ruleset.needs.probes}
    readings = (
        reading for name in wanted & one.findings.probes.keys() for reading in one.findings.probes[name].readings
    )
    return not any(reading.status is Status.SKIPPED for reading in readings)


def _promoted(program: Program) -> Program:
    return replace(program, rules=tuple(_live(one) for one in program.rules))


def _live(one: CompiledRule) -> CompiledRule:
    return replace(one, rule=one.rule.model_copy(update={"mode": Mode.LIVE}))


def _shadow_rules(ruleset: Ruleset) -> list[str]:
    """In file order, each once."""
    found = (one.rule for program in ruleset.programs for one in program.rules)
    return list(dict.fromkeys(rule.id for rule in found if rule.mode is Mode.SHADOW))


def _rules_digest(ruleset: Ruleset, names: Sequence[str]) -> str:
    """Of the shadow rules and everything of the policy that their conditions speak of: what else is edited does not
    make other rules of them, and their record goes on."""
    policy = ruleset.policy
    compiled = [one for program in ruleset.programs for one in program.rules if one.rule.id in names]
    used = with_parts((name for one in compiled for name in one.names), policy.scores)
    probes = {probe_of(name) for name in used if name.startswith("probes.")}
    content: dict[str, Any] = {
        "rules": [
            one.rule.model_dump(mode="json", warnings=False, exclude={"statement", "sample"}) for one in compiled
        ],
        "thresholds": [
            {name: value for name, value in program.thresholds.items() if name in used} for program in ruleset.programs
        ],
        "scores": {
            name: score.model_dump(mode="json", warnings=False)
            for name, score in policy.scores.items()
            if f"scores.{name}" in used
        },
        "probes": {
            name: probe.model_dump(mode="json", warnings=False)
            for name, probe in policy.probes.items()
            if name in probes
        },
        "defaults": policy.defaults.model_dump(mode="json", warnings=False, include={"ask", "min_mass", "on_unknown"}),
    }
    return f"sha256:{sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"
