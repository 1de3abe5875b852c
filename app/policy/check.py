"""What the parts of a policy say of each other, and of the lists."""

from collections.abc import Collection, Iterator, Sequence

from app.domain import KeywordList, Mode
from app.errors import PolicyProblem
from app.policy.draft import Draft
from app.policy.fields import Texts
from app.policy.schema import Rule
from app.policy.score_parts import check_parts
from app.policy.source import Path, Source
from app.policy.surfaces import check_surfaces
from app.policy.vocabulary import Vocabulary, did_you_mean


def check(
    draft: Draft,
    source: Source,
    lists: Sequence[KeywordList],
    *,
    rules_dir: str,
    vocabulary: Vocabulary,
    unread: Collection[str],
) -> Iterator[PolicyProblem]:
    """`vocabulary` are the names that conditions may use, `unread` those of them that would never be known."""
    yield from _categories(draft, source)
    yield from _probes(draft, source)
    yield from _scores(draft, source)
    yield from check_parts(draft, source, vocabulary, unread)
    yield from _rules(draft, source)
    yield from check_surfaces(draft, source)
    for keywords in lists:
        if keywords.category not in draft.ids["categories"]:
            hint = did_you_mean(keywords.category, draft.ids["categories"])
            message = f"the list's category `{keywords.category}` is not among the policy's `categories`"
            yield PolicyProblem(f"{rules_dir}/{keywords.name}.txt", 1, 1, message, hint)


def unused(
    draft: Draft, source: Source, lists: Sequence[KeywordList], names: Collection[str], *, rules_dir: str
) -> Iterator[PolicyProblem]:
    """What no live or shadow rule uses; `names` are those their conditions and scores refer to."""
    for section in ("thresholds", "probes", "scores"):
        for name in sorted(draft.ids[section]):
            if not any(used == f"{section}.{name}" or used.startswith(f"{section}.{name}.") for used in names):
                yield source.key_problem((section, name), f"no live or shadow rule uses `{section}.{name}`")
    yield from _idle_retention(draft, source)
    for keywords in lists:
        score = f"text.score.{keywords.category}"
        if score not in names and not any(name.startswith(f"keywords.{keywords.name}.") for name in names):
            file = f"{rules_dir}/{keywords.name}.txt"
            hint = f"write a rule with `keywords.{keywords.name}.count > 0`"
            yield PolicyProblem(file, 1, 1, "no live or shadow rule uses this list", hint)


def _idle_retention(draft: Draft, source: Source) -> Iterator[PolicyProblem]:
    """Nothing is rejected any more for a category that no live rule is of."""
    wakened = {
        rule
        for surface in draft.surfaces.values()
        for rule, its in surface.rules.items()
        if its.mode == Mode.LIVE.value
    }
    live = {
        rule.category
        for rule in draft.rules.values()
        if not rule.overrides and (rule.mode is Mode.LIVE or rule.id in wakened)
    }
    for name, category in draft.categories.items():
        if category.retention_days is not None and name not in live:
            message = f"no live rule is of the category `{name}`: this counts for earlier decisions alone"
            yield source.key_problem(("categories", name, "retention_days"), message)


def _categories(draft: Draft, source: Source) -> Iterator[PolicyProblem]:
    for name, category in draft.categories.items():
        yield from _translated(draft, source, ("categories", name, "title"), category.title)


def _probes(draft: Draft, source: Source) -> Iterator[PolicyProblem]:
    for name, probe in draft.probes.items():
        yield from _known_category(draft, source, ("probes", name, "category"), probe.category)
        for language in draft.defaults.ask:
            if language not in probe.questions:
                yield source.key_problem(
                    ("probes", name, "questions"),
                    f"the probe has no question in `{language}`",
                    hint="`defaults.ask` names the languages that every probe is asked in",
                )


def _scores(draft: Draft, source: Source) -> Iterator[PolicyProblem]:
    for name in draft.scores:
        if name not in draft.ids["categories"]:
            hint = did_you_mean(name, draft.ids["categories"])
            yield source.key_problem(("scores", name), f"`{name}` is not among the `categories`", hint=hint)


def _rules(draft: Draft, source: Source) -> Iterator[PolicyProblem]:
    first: dict[str, int] = {}
    by_id = {rule.id: rule for rule in draft.rules.values()}
    wakened = {name for one in draft.surfaces.values() for name, override in one.rules.items() if override.mode}
    for index, rule in draft.rules.items():
        path: Path = ("rules", index)
        if rule.id in first:
            there = f"first in {source.where(('rules', first[rule.id]))}"
            yield source.problem((*path, "id"), f"there are two rules called `{rule.id}`", hint=there)
        first.setdefault(rule.id, index)
        yield from _known_category(draft, source, (*path, "category"), rule.category)
        if rule.reason is not None:
            yield from _translated(draft, source, (*path, "reason"), rule.reason)
        if rule.statement is not None:
            yield from _translated(draft, source, (*path, "statement", "facts"), rule.statement.facts)
        for at, other in enumerate(rule.overrides):
            place: Path = (*path, "then", "pass", "overrides", at)
            if other not in draft.ids["rules"]:
                hint = did_you_mean(other, draft.ids["rules"] - {rule.id})
                yield source.problem(place, f"there is no rule `{other}`", hint=hint)
            elif other in by_id and (why := _cannot_set_aside(rule, by_id[other], wakened)):
                yield source.problem(place, f"`{other}` {why}")


def _cannot_set_aside(rule: Rule, target: Rule, wakened: Collection[str]) -> str | None:
    """`wakened` are rules that some surface has in a mode of its own."""
    if target.overrides:
        return "is an allow rule itself: there is nothing to set aside"
    if target.mode is Mode.DRAFT and rule.mode is not Mode.DRAFT and target.id not in wakened:
        return "is a draft: it is not evaluated, and there is nothing to set aside"
    return None


def _known_category(draft: Draft, source: Source, path: Path, category: str) -> Iterator[PolicyProblem]:
    if category not in draft.ids["categories"]:
        hint = did_you_mean(category, draft.ids["categories"])
        yield source.problem(path, f"`{category}` is not among the `categories`", hint=hint)


def _translated(draft: Draft, source: Source, path: Path, texts: Texts) -> Iterator[PolicyProblem]:
    language = draft.defaults.language
    if language not in texts:
        yield source.key_problem(
            path, f"`{path[-1]}` has no `{language}` text", hint="`defaults.language` names the one that is required"
        )
