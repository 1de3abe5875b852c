"""From the rules of a draft to what `evaluate` runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from app.domain import KeywordList, Needs, ProbeQuestion, TextSource
from app.errors import PolicyProblem
from app.policy.breath import at_once
from app.policy.conditions import Compiler, ConditionInvalid
from app.policy.draft import Draft
from app.policy.ruleset import AllOf, AnyOf, CompiledRule, Not, Program, Tree, conditions, program_steps
from app.policy.schema import Signals, Surface, When
from app.policy.scores import with_parts
from app.policy.source import Path, Source
from app.policy.surfaces import check_divisors, surface_program
from app.policy.unreachable import check_reach
from app.policy.vocabulary import Vocabulary, probe_of

#: Compiling ends here: more are not told.
_ENOUGH_PROBLEMS = 100


class RuleCompiler:
    """Compiles the rules of one draft; `problems` collects what is wrong with their conditions, `unreachable` what
    could never come true, which is sound in itself. `lists` are as the needs have them, with the sources that are
    switched on; `list_names` has those of unsound lists too. `vocabulary` are the names that conditions may use,
    `unread` those that would never be known."""

    def __init__(
        self,
        draft: Draft,
        source: Source,
        lists: Sequence[KeywordList],
        list_names: Iterable[str],
        *,
        before: Compiler | None = None,
    ) -> None:
        self._draft = draft
        self._source = source
        self._binding = [keywords for keywords in lists if keywords.binding]
        self.unread = _never_known(lists)
        signals = draft.defaults.signals
        if not (signals.ocr or signals.model_text):
            self.unread.add("text.chars")
        if not signals.qr:
            self.unread.add("codes.count")
        thresholds = dict.fromkeys(draft.ids.get("thresholds", ()), 1.0) | dict(draft.thresholds)
        self.vocabulary = Vocabulary.of(
            probes=draft.ids.get("probes", ()),
            scores=draft.ids.get("scores", ()),
            lists=list_names,
            thresholds=thresholds,
            text_categories={keywords.category for keywords in lists},
        )
        self._unsound = [
            f"thresholds.{name}" for name in draft.ids.get("thresholds", ()) if name not in draft.thresholds
        ]
        self._compiler = Compiler(self.vocabulary, before=before)
        self.problems: list[PolicyProblem] = []
        self.unreachable: list[PolicyProblem] = []

    def programs(self) -> tuple[tuple[CompiledRule, ...], Program, dict[str, Program]]:
        """All rules, what decides, and what decides on each surface that has it otherwise. Drafts are compiled too, to
        find their problems."""
        rules = dict(self._rules())
        compiled = tuple(rules.values())
        base, surfaces = programs_of(compiled, self._compiler, self.vocabulary.thresholds, self._draft.surfaces)
        self.problems += check_divisors(self._draft.surfaces, compiled, self._source)
        self.unreachable += check_reach(self._draft, self._source, base, rules)
        return compiled, base, surfaces

    def _rules(self) -> Iterator[tuple[int, CompiledRule]]:
        for index, rule in self._draft.rules.items():
            if len(self.problems) > _ENOUGH_PROBLEMS:
                return
            tree = self._tree(rule.when, ("rules", index, "when"))
            if tree is None:
                continue
            names = with_parts((name for one in conditions(tree) for name in one.names), self._draft.scores)
            binding = tuple(sorted(one.name for one in self._binding if _names_list(names, one)))
            yield index, CompiledRule.of(rule, tree, binding)

    def _tree(self, when: When, path: Path) -> Tree | None:
        if when.cel is not None:
            return self._leaf(when.cel, path)
        if when.not_ is not None:
            part = self._tree(when.not_, (*path, "not"))
            return None if part is None else Not(part)
        word = "any" if when.any is not None else "all"
        parts = [self._tree(part, (*path, word, at)) for at, part in enumerate(when.any or when.all or ())]
        sound = tuple(part for part in parts if part is not None)
        if len(sound) < len(parts):
            return None
        return AnyOf(sound) if word == "any" else AllOf(sound)

    def _leaf(self, text: str, path: Path) -> Tree | None:
        try:
            condition = self._compiler.compile(text)
        except ConditionInvalid as invalid:
            # The type of a threshold that is unsound is not known: what is wrong with it is told where it stands.
            untyped = any(name in text for name in self._unsound)
            self.problems += [
                self._source.problem(path, complaint.message, hint=complaint.hint, after=text[: complaint.at])
                for complaint in invalid.complaints
                if not (untyped and complaint.of_types)
            ]
            return None
        unread = [name for name in condition.names if name in self.unread]
        self.problems += [
            self._source.problem(
                path,
                f"`{name}` would never be known: every text source of it is switched off",
                hint="`defaults.signals` switches signals on and off",
                after=text[: text.find(name)] if name in text else None,
            )
            for name in unread
        ]
        return condition if not unread else None


def programs_of(
    rules: Sequence[CompiledRule],
    compiler: Compiler,
    thresholds: Mapping[str, int | float],
    surfaces: Mapping[str, Surface],
) -> tuple[Program, dict[str, Program]]:
    """What decides, and what decides on each surface; `rules` are all of the policy, drafts too."""
    base = at_once(program_steps(compiler, thresholds, rules))
    return base, {name: surface_program(base, rules, name, surface) for name, surface in surfaces.items()}


def _never_known(lists: Sequence[KeywordList]) -> set[str]:
    """What lists say that have no source left, and categories that have no list but such."""
    facts = ("count", "severity", "terms", "score")
    unread = {f"keywords.{one.name}.{fact}" for one in lists if not one.sources for fact in facts}
    read = {keywords.category for keywords in lists if keywords.sources}
    return unread | {f"text.score.{one.category}" for one in lists if one.category not in read}


def _names_list(names: Iterable[str], keywords: KeywordList) -> bool:
    """Whether any of the names speaks of the list's matches, alone or with others of its category."""
    own, category = f"keywords.{keywords.name}.", f"text.score.{keywords.category}"
    return any(name.startswith(own) or name == category for name in names)


def used_names(draft: Draft, programs: Iterable[Program]) -> frozenset[str]:
    """The names that live and shadow rules refer to on any surface, and those that their scores are made of."""
    return with_parts((name for program in programs for rule in program.rules for name in rule.names), draft.scores)


def read_sources(signals: Signals, lists: Iterable[KeywordList]) -> tuple[KeywordList, ...]:
    """The lists, each over those of its sources that are switched on."""
    on = {TextSource.CAPTION: True, TextSource.OCR: signals.ocr, TextSource.MODEL_TEXT: signals.model_text}
    on |= {TextSource.QR: signals.qr, TextSource.SCENE: signals.scene}
    return tuple(
        replace(keywords, sources=frozenset(source for source in keywords.sources if on[source])) for keywords in lists
    )


def needs_of(draft: Draft, names: Iterable[str], lists: tuple[KeywordList, ...]) -> Needs:
    """What to ask of a picture. Every list is matched, also those that no rule uses: reviewers see the matches."""
    signals = draft.defaults.signals
    asked = {probe_of(name) for name in names if name.startswith("probes.")}
    return Needs(
        probes=tuple(
            ProbeQuestion(name, language, probe.questions[language], subject)
            for name, probe in draft.probes.items()
            if name in asked
            for subject in probe.applies_to
            for language in draft.defaults.ask
        ),
        read_text=signals.ocr,
        read_codes=signals.qr,
        model_text=signals.model_text,
        describe=signals.scene,
        lists=lists,
    )
