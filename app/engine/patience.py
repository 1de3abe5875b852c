"""How long the engine process may be silent before it counts as hung."""

_LEAST_S = 5.0
#: The machine may be this much busier than when the longest call was measured.
_BUSIER = 3.0


class Patience:
    """A call of llama.cpp cannot be interrupted, and on a slow machine a large picture takes a minute: to kill the
    process over one would cost a reload for nothing, and the same again for the next. So the patience follows what the
    process itself has measured, unless `fixed_s` says otherwise."""

    def __init__(self, fixed_s: float | None, longest_call_s: float) -> None:
        self._fixed_s = fixed_s
        self._longest_call_s = longest_call_s

    def learn(self, call_s: float) -> None:
        """So long did one turn of the process take."""
        self._longest_call_s = max(self._longest_call_s, call_s)

    @property
    def grace_s(self) -> float:
        """From a job's deadline to the end of patience."""
        return self._fixed_s if self._fixed_s is not None else max(_LEAST_S, _BUSIER * self._longest_call_s)
