"""Several files of one policy as one value, in which every part knows where it was written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import PolicyProblem
from app.policy.source import Path, Source
from app.policy.vocabulary import did_you_mean

_SECTIONS = ("categories", "thresholds", "probes", "scores", "surfaces")
_MAIN_ONLY = ("version", "defaults")


@dataclass(frozen=True, slots=True)
class Fragment:
    """One file, read as YAML: a mapping."""

    file: str
    value: dict[str, Any]
    source: Source


@dataclass(frozen=True, slots=True)
class Combined(Source):
    """The source of the whole: what came from another file is told in that file. `owners` has, by the place in the
    whole, the file and the place in it."""

    owners: Mapping[Path, tuple[Source, Path]] = field(default_factory=dict)

    def has(self, path: Path) -> bool:
        owned = self._owned(path)
        return Source.has(self, path) if owned is None else owned[0].has(owned[1])

    def problem(self, path: Path, message: str, *, hint: str | None = None, after: str | None = None) -> PolicyProblem:
        if (owned := self._owned(path)) is not None:
            return owned[0].problem(owned[1], message, hint=hint, after=after)
        return Source.problem(self, path, message, hint=hint, after=after)

    def key_problem(self, path: Path, message: str, *, hint: str | None = None) -> PolicyProblem:
        if (owned := self._owned(path)) is not None:
            return owned[0].key_problem(owned[1], message, hint=hint)
        return Source.key_problem(self, path, message, hint=hint)

    def _owned(self, path: Path) -> tuple[Source, Path] | None:
        for length in (2, 1):
            if (owner := self.owners.get(path[:length])) is not None and len(path) >= length:
                return owner[0], (*owner[1], *path[length:])
        return None


def merge(
    main: Fragment, fragments: Iterable[Fragment], problems: list[PolicyProblem]
) -> tuple[dict[str, Any], Source]:
    """The main file with what the others add; `problems` gets what cannot be added."""
    merging = _Merge(main, problems)
    for one in fragments:
        for section, value in one.value.items():
            merging.add(one, section, value)
    if not merging.owners:
        return merging.whole, main.source
    source = main.source
    return merging.whole, Combined(source.file, source.text, source.places_in, merging.owners)


class _Merge:
    def __init__(self, main: Fragment, problems: list[PolicyProblem]) -> None:
        self.whole = {section: value for section, value in main.value.items() if section != "include"}
        self.owners: dict[Path, tuple[Source, Path]] = {}
        self._problems = problems
        self._given: dict[Path, Source] = {}
        for section in _SECTIONS:
            value = self.whole.get(section)
            if isinstance(value, dict):
                self._given |= {(section, name): main.source for name in value}
                self.whole[section] = dict(value)
        if isinstance(self.whole.get("rules"), list):
            self.whole["rules"] = list(self.whole["rules"])

    def add(self, one: Fragment, section: str, value: Any) -> None:
        if section in _SECTIONS:
            self._add_named(one, section, value)
        elif section == "rules":
            self._add_rules(one, value)
        elif section in _MAIN_ONLY:
            message = f"`{section}` stands in the policy itself, not in what it includes"
            self._problems.append(one.source.key_problem((section,), message))
        elif section != "include":
            hint = did_you_mean(section, ("include", *_SECTIONS, "rules"))
            self._problems.append(one.source.key_problem((section,), f"unknown field `{section}`", hint=hint))

    def _add_named(self, one: Fragment, section: str, value: Any) -> None:
        if not isinstance(value, dict):
            self._problems.append(one.source.problem((section,), "must be a mapping of `key: value` lines"))
            return
        whole = self._section(one, section, {})
        if not isinstance(whole, dict):
            return  # told of the file where it stands
        for name, item in value.items():
            path: Path = (section, name)
            if (first := self._given.get(path)) is not None:
                hint = f"first in {first.where(path)}"
                self._problems.append(one.source.key_problem(path, f"`{section}.{name}` is given twice", hint=hint))
                continue
            self._given[path] = one.source
            self.owners[path] = one.source, path
            whole[name] = item

    def _add_rules(self, one: Fragment, value: Any) -> None:
        if not isinstance(value, list):
            self._problems.append(one.source.problem(("rules",), "must be a list"))
            return
        whole = self._section(one, "rules", [])
        if isinstance(whole, list):
            for at, item in enumerate(value):
                self.owners["rules", len(whole)] = one.source, ("rules", at)
                whole.append(item)

    def _section(self, one: Fragment, section: str, empty: Any) -> Any:
        if section not in self.whole:
            self.whole[section] = empty
            self.owners[(section,)] = one.source, (section,)
        return self.whole[section]
