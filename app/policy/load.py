"""Files to ruleset: read, check, compile; every problem at once."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import rfc8785

from app.domain import KeywordList
from app.errors import PolicyInvalid, PolicyProblem
from app.policy.candidate import Candidate
from app.policy.check import check, unused
from app.policy.compile import RuleCompiler, needs_of, read_sources, used_names
from app.policy.conditions import Compiler
from app.policy.draft import read_draft
from app.policy.include import Reader, read_document, read_included
from app.policy.limits import too_much
from app.policy.lists import load_lists
from app.policy.regular import read_regular
from app.policy.ruleset import Ruleset
from app.policy.yaml_text import MAX_BYTES

#: More mistakes are not told at once: a file can hold a hundred thousand.
MAX_PROBLEMS = 100


def load_ruleset(policy_path: Path, rules_dir: Path, *, last_good: Sequence[KeywordList] = ()) -> Ruleset:
    """The ruleset of a policy file and a directory of lists. Raises PolicyInvalid with all problems of both.

    A list that cannot be used is replaced by the one of its name in `last_good`, if there is one; what is wrong with
    it is then in `list_problems` of the ruleset.
    """
    return build_candidate(read_candidate(policy_path, rules_dir, last_good=last_good))


def read_candidate(
    policy_path: Path,
    rules_dir: Path,
    *,
    last_good: Sequence[KeywordList] = (),
    read_before: Sequence[KeywordList] = (),
) -> Candidate:
    """What the files hold. `read_before` are lists of these files that were read before. Raises PolicyInvalid when
    there is nothing to check."""
    lists, list_problems = load_lists(rules_dir, read_before=read_before)
    try:
        data = read_regular(policy_path, MAX_BYTES + 1)
    except OSError as error:
        problem = PolicyProblem(policy_path.name, 1, 1, f"cannot be read: {error.strerror or error}")
        raise PolicyInvalid((problem, *list_problems)) from error
    return Candidate(
        data,
        lists,
        file=policy_path.name,
        rules_dir=rules_dir.name,
        folder=policy_path.parent,
        list_problems=list_problems,
        last_good=tuple(last_good),
    )


def build_candidate(candidate: Candidate, *, before: Compiler | None = None) -> Ruleset:
    """The ruleset of a candidate; `before` is the compiler of an earlier version. Raises PolicyInvalid with all
    problems."""
    rules_dir = candidate.rules_dir
    build = partial(
        build_ruleset,
        candidate.data,
        file=candidate.file,
        rules_dir=rules_dir,
        read=None if candidate.folder is None else partial(read_included, candidate.folder),
        kept=candidate.kept,
        before=before,
    )
    try:
        return build(candidate.lists, list_problems=candidate.list_problems)
    except PolicyInvalid as invalid:
        problems = invalid.problems
    good = {f"{rules_dir}/{one.name}.txt": one for one in candidate.last_good}
    unsound = {problem.file for problem in problems}
    if not unsound <= good.keys():
        raise PolicyInvalid(problems)
    sound = [one for one in candidate.lists if f"{rules_dir}/{one.name}.txt" not in unsound]
    try:
        ruleset = build((*sound, *(good[file] for file in unsound)))
    except PolicyInvalid as invalid:
        raise PolicyInvalid((*invalid.problems, *problems)) from invalid
    return replace(ruleset, list_problems=problems)


def build_ruleset(
    data: bytes,
    lists: Sequence[KeywordList],
    *,
    file: str = "policies.yaml",
    rules_dir: str = "rules",
    list_problems: Sequence[PolicyProblem] = (),
    read: Reader | None = None,
    kept: bool = False,
    before: Compiler | None = None,
) -> Ruleset:
    """The ruleset of a policy's bytes and lists that are already read; `file` and `rules_dir` are what problems call
    them. `read` gives the files that the policy includes; without it, its text brings them along. What was `kept`
    may have been put in force by a version without limits, and without a look for rules that can never be true: there
    they are warnings. `before` is the compiler of an earlier version. Raises PolicyInvalid, `list_problems` included.
    """
    document = read_document(data, file, read)
    value, source, problems = document.value, document.source, document.problems
    if value is None:
        raise PolicyInvalid((*(problems or [source.problem_at(0, "the file is empty")]), *list_problems))
    if not kept and (excess := [*too_much(value, source)]):
        raise PolicyInvalid((*excess, *list_problems))
    draft, mistakes = read_draft(value, source)
    problems += mistakes
    if any(problem.file == rules_dir for problem in list_problems):  # no list can be read: no condition can be judged
        raise PolicyInvalid((*problems, *list_problems))
    lists = tuple(sorted(lists, key=lambda keywords: keywords.name))
    readable = read_sources(draft.defaults.signals, lists)
    unsound = {Path(problem.file).stem for problem in list_problems}
    list_names = {keywords.name for keywords in lists} | unsound
    compiler = RuleCompiler(draft, source, readable, list_names, before=before)
    rules, program, surfaces = compiler.programs()
    problems += compiler.problems + ([] if kept else compiler.unreachable)
    if draft.ids:
        checked = check(
            draft, source, lists, rules_dir=rules_dir, vocabulary=compiler.vocabulary, unread=compiler.unread
        )
        problems += islice(checked, MAX_PROBLEMS + 1)
    if problems or list_problems or draft.policy is None:
        ordered = sorted(
            dict.fromkeys(problems),
            key=lambda problem: (problem.file != file, problem.file, problem.line, problem.column),
        )
        if len(ordered) > MAX_PROBLEMS:
            more = replace(ordered[MAX_PROBLEMS], message="there are more mistakes, from here on", hint=None)
            ordered = [*ordered[:MAX_PROBLEMS], more]
        raise PolicyInvalid((*ordered, *list_problems))
    names = used_names(draft, (program, *surfaces.values()))
    policy_digest = _digest(document.text.encode())  # a byte order mark is not part of it
    return Ruleset(
        digest=_digest(rfc8785.dumps({"policy": policy_digest, "lists": {one.name: one.digest for one in lists}})),
        policy_digest=policy_digest,
        policy=draft.policy,
        source=document.text,
        lists=lists,
        needs=needs_of(draft, names, readable),
        program=program,
        surfaces=surfaces,
        rules=rules,
        warnings=(*(compiler.unreachable if kept else ()), *unused(draft, source, lists, names, rules_dir=rules_dir)),
    )


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
