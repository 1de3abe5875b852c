"""Stored decisions, read as a ruleset sees them now: calibrated anew, and with changed lists matched again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.domain import Findings, KeywordList, StoredDecision
from app.policy.asked import never_asked
from app.policy.evaluate import see
from app.policy.ports import Matcher
from app.policy.replay import Row
from app.policy.ruleset import Ruleset
from app.policy.stored import read_context, read_findings
from app.policy.texts import stored_texts

#: Ruleset digest -> the lists it had, name to digest.
ListsOf = Mapping[str, Mapping[str, str]]


class RowReader:
    def __init__(self, ruleset: Ruleset, matcher: Matcher) -> None:
        self._ruleset = ruleset
        self._matcher = matcher

    def read(self, stored: StoredDecision, lists_of: ListsOf) -> Row:
        """`lists_of` has the stored decision's ruleset, unless that is not known any more: then every list is matched
        again. Raises ValueError for findings that this version cannot read."""
        context = read_context(stored.context)
        changed = self._changed(lists_of.get(stored.ruleset, {}))
        if changed:
            findings = self._rematched(Findings.model_validate_json(stored.findings), changed)
        else:
            findings = read_findings(stored.findings)
        seen = see(self._ruleset, findings, context, model_digest=stored.model)
        return Row(seen, never_asked(self._ruleset, findings, seen))

    def refound(self, findings: Findings, before: Mapping[str, str]) -> Findings:
        """The findings with every list matched again that is not what it was (name to digest)."""
        changed = self._changed(before)
        return self._rematched(findings, changed) if changed else findings

    def _changed(self, before: Mapping[str, str]) -> list[KeywordList]:
        return [one for one in self._ruleset.needs.lists if before.get(one.name) != one.digest]

    def _rematched(self, findings: Findings, changed: Sequence[KeywordList]) -> Findings:
        needs = replace(self._ruleset.needs, lists=tuple(changed))
        fresh = self._matcher.match(changed, stored_texts(needs, findings))
        names = {one.name for one in changed}
        kept = tuple(match for match in findings.keywords.matches if match.list not in names)
        keywords = fresh.model_copy(
            update={"sources": {**fresh.sources, **findings.keywords.sources}, "matches": kept + fresh.matches}
        )
        return findings.model_copy(update={"keywords": keywords})
