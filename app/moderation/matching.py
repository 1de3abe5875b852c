"""The lists over the texts of one upload. A text that was matched before is not matched again while lists and matcher
are the same."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from app.domain import KeywordFinding, KeywordList, KeywordMatch, Status, TextFinding, TextSource
from app.moderation.findings_cache import Part
from app.moderation.recall import Recall
from app.signals.base import KeywordMatcher

log = structlog.get_logger(__name__)

#: A longer text takes some tens of milliseconds to match.
_LONG_TEXT_CHARACTERS = 3_000

_ORDER = {source: number for number, source in enumerate(TextSource)}


class Matching:
    """`recall` is that of the upload's picture: what was found in a text is kept with the picture it came with, and
    goes when that does."""

    def __init__(self, matcher: KeywordMatcher, recall: Recall) -> None:
        self._matcher = matcher
        self._recall = recall

    async def match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
        """What matching all of them finds."""
        try:
            parts = self._parts(lists, texts)
            found = {source: kept for source, part in parts.items() if (kept := self._recall.glance(part)) is not None}
            fresh = {source: finding for source, finding in texts.items() if source not in found}
            matched = await self._match(lists, fresh) if fresh else KeywordFinding(sources={})
            self._keep(parts, matched)
        except Exception:  # every source counts as unread: no count over them may say "none"
            log.exception("keyword matcher broke its contract", action="signal_failed", signal="keywords")
            return KeywordFinding(sources=dict.fromkeys(texts, Status.FAILED))
        return _joined(texts, [*found.values(), matched]) if found else matched

    def _parts(
        self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]
    ) -> dict[TextSource, Part[KeywordFinding]]:
        """What is to know of each text that was read to its end."""
        version = self._matcher.version(lists)
        sound = {source: finding for source, finding in texts.items() if finding.status is Status.OK}
        parts = {source: self._recall.matches(version, source, finding) for source, finding in sound.items()}
        return {source: part for source, part in parts.items() if part is not None}

    async def _match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
        """In a thread where it may take longer than other uploads should wait."""
        long = sum(len(line.text) for finding in texts.values() for line in finding.lines) > _LONG_TEXT_CHARACTERS
        if long:
            return await asyncio.to_thread(self._matcher.match, lists, texts)
        return self._matcher.match(lists, texts)

    def _keep(self, parts: Mapping[TextSource, Part[KeywordFinding]], matched: KeywordFinding) -> None:
        """What is whole. A list that was cut does not say in which text."""
        if matched.cut:
            return
        for source, status in matched.sources.items():
            if source in parts and status is Status.OK:
                matches = tuple(match for match in matched.matches if match.source is source)
                self._recall.keep(parts[source], KeywordFinding(sources={source: Status.OK}, matches=matches))


def _joined(texts: Mapping[TextSource, TextFinding], found: Sequence[KeywordFinding]) -> KeywordFinding:
    sources = {source: status for one in found for source, status in one.sources.items()}
    matches: list[KeywordMatch] = sorted(
        (match for one in found for match in one.matches), key=lambda match: _ORDER[match.source]
    )
    return KeywordFinding(
        sources={source: sources[source] for source in texts},
        matches=tuple(matches),
        cut=tuple(sorted({name for one in found for name in one.cut})),
    )
