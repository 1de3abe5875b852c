"""The form that asks for a backtest: as it is first shown, and as it was sent, to be shown again with what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from app.errors import MalformedRequest, PolicyProblem
from app.policy.backtests import Asked, Run
from app.policy.ruleset import Ruleset
from app.policy.since import since_when
from app.policy.sweep import Moved, Threshold, thresholds_of

#: What the form offers, and the words for it; the last one is a day of one's own.
HOW_FAR = {"1d": "1 day", "7d": "7 days", "30d": "30 days", "day": "since"}
_USUAL_SPAN = "7d"

_MIB = 1 << 20
_SHORT_BYTES = 400
_SHORT = ("base", "since", "day", "threshold", "low", "high")
#: Field -> the most that it may hold, in bytes.
FIELDS: Mapping[str, int] = {"policy": 2 * _MIB, "file": 2 * _MIB, **dict.fromkeys(_SHORT, _SHORT_BYTES)}
#: All of it, and the boundaries between.
FORM_BYTES = sum(FIELDS.values()) + 64 * 1024


@dataclass(frozen=True, slots=True)
class BacktestForm:
    """`policy` is what is tried and `text` how it is shown; `base` is the digest of the policy in force that the edit
    began with. The others are as people wrote them. `problems` and `fault` say why it was not run."""

    policy: bytes
    base: str
    since: str = _USUAL_SPAN
    day: str = ""
    threshold: str = ""
    low: str = ""
    high: str = ""
    thresholds: tuple[Threshold, ...] = ()
    problems: tuple[PolicyProblem, ...] = ()
    fault: str | None = None

    @property
    def text(self) -> str:
        return self.policy.decode("utf-8", "replace")

    def asked(self, author: str, now: datetime) -> Asked:
        """Raises MalformedRequest."""
        return Asked(
            policy=self.policy,
            since=_since(self.since, self.day, now),
            author=author,
            base=self.base,
            moved=moved(self.threshold, self.low, self.high),
        )


def first_form(current: Ruleset) -> BacktestForm:
    """With the policy in force, to be edited."""
    given = thresholds_of(current)
    return BacktestForm(
        policy=current.source.encode(),
        base=current.policy_digest,
        threshold=given[0].place if given else "",
        thresholds=given,
    )


def form_again(run: Run, base: str | None) -> BacktestForm:
    """With what was tried before, to be edited further; `base` where the edit is now meant for another policy."""
    asked = run.asked
    day = f"{asked.since.astimezone(UTC):%Y-%m-%d}"
    return BacktestForm(
        policy=asked.policy,
        base=base or asked.base,
        since="day",
        day=day,
        threshold=asked.moved.threshold if asked.moved else "",
        thresholds=run.thresholds,
    )


def sent_form(parts: Mapping[str, bytes], current: Ruleset) -> BacktestForm:
    """A file counts in place of the text beside it. Raises MalformedRequest."""
    short = {name: _text(name, parts.get(name, b"")) for name in _SHORT}
    # Browsers end the lines of a text field with CRLF: then every line would differ from the policy in force.
    policy = parts.get("file") or parts.get("policy", b"").replace(b"\r\n", b"\n")
    return BacktestForm(
        policy=policy,
        base=short["base"],
        since=short["since"],
        day=short["day"],
        threshold=short["threshold"],
        low=short["low"],
        high=short["high"],
        thresholds=thresholds_of(current),
    )


def moved(threshold: str, low: str, high: str) -> Moved | None:
    """Raises MalformedRequest."""
    return Moved(threshold, _number("from", low), _number("to", high)) if threshold else None


def _since(since: str, day: str, now: datetime) -> datetime:
    if since not in HOW_FAR:
        raise MalformedRequest("since: choose how far to go back", field="since")
    if since != "day":
        return since_when(since, now)
    if not day:
        raise MalformedRequest("since: choose a day", field="since")
    start = since_when(day, now)
    if start > now:
        raise MalformedRequest("since: that day is still to come", field="since")
    return start


def _number(name: str, text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise MalformedRequest(f"{name}: must be a number", field=name) from None


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedRequest(f"{name}: is not UTF-8", field=name) from None
