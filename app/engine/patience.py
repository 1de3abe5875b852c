"""How long the engine process may be silent before it counts as hung."""

from collections import deque

_LEAST_S = 5.0
#: The machine may be this much busier than when the longest call was measured.
_BUSIER = 3.0
#: A machine that stood still for a while makes one turn look long. So much of one is believed at most, unless the
#: process was that slow from the start: within a longer one no upload is answered in time anyway, and a process that
#: hangs must not keep the others waiting for a quarter of an hour.
_MOST_LEARNT_S = 60.0
#: Below this silence alarms nobody, however quick the process is.
_LEAST_DOUBT_S = 2.0
#: After so many jobs a long turn is forgotten.
_REMEMBERED = 64


class Patience:
    """A call of llama.cpp cannot be interrupted, and on a slow machine a large picture takes a minute: to kill the
    process over one would cost a reload for nothing, and the same again for the next. So the patience follows what the
    process itself has measured lately, unless `fixed_s` says otherwise."""

    def __init__(self, fixed_s: float | None, longest_call_s: float) -> None:
        self._fixed_s = fixed_s
        self._reckoned_s = longest_call_s
        self._learnt_s: deque[float] = deque(maxlen=_REMEMBERED)

    def learn(self, call_s: float) -> None:
        """So long did the longest turn of the process take since the last one that was learnt."""
        self._learnt_s.append(min(call_s, _MOST_LEARNT_S))

    @property
    def grace_s(self) -> float:
        """From a job's deadline to the end of patience."""
        if self._fixed_s is not None:
            return self._fixed_s
        return max(_LEAST_S, _BUSIER * max(self._reckoned_s, *self._learnt_s, 0.0))

    @property
    def doubt_s(self) -> float:
        """From a job's deadline until the process is overdue: as long as the longest call that is known of, so that no
        picture that takes as long as others makes it look so; one that takes longer does once, and is learnt. What was
        reckoned at the start, when the machine may have been busy with it, counts until enough was measured."""
        reckoned_s = 0.0 if len(self._learnt_s) == _REMEMBERED else self._reckoned_s
        return min(self.grace_s, max(_LEAST_DOUBT_S, reckoned_s, *self._learnt_s))
