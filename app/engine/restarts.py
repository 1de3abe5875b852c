"""How soon the engine process is started again. Pure."""

#: After so many failed starts in a row nobody is made to wait for the next one.
_STARTS_BEFORE_HOPELESS = 3
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0


class Restarts:
    """Counts starts that failed in a row, and lives in a row that answered no job to its end."""

    def __init__(self) -> None:
        self._failed_starts = 0
        self._fruitless_lives = 0

    def start_failed(self) -> None:
        self._failed_starts += 1

    def started(self) -> None:
        self._failed_starts = 0

    def answered(self) -> None:
        """A job, to its end."""
        self._fruitless_lives = 0

    def died(self) -> None:
        self._fruitless_lives += 1

    @property
    def failing(self) -> bool:
        """Whether the last start was in vain."""
        return self._failed_starts > 0

    @property
    def fruitless(self) -> bool:
        """Whether lives in a row were in vain. One is not enough: of that which died last it is not known."""
        return self._fruitless_lives > 1

    @property
    def hopeless(self) -> bool:
        return self._failed_starts >= _STARTS_BEFORE_HOPELESS

    def pause_s(self, *, first_at_once: bool) -> float:
        """Before the next start; with `first_at_once` none after a first death, so that the job in flight can still
        make its deadline."""
        troubles = self._failed_starts + self._fruitless_lives
        if first_at_once and troubles <= 1:
            return 0.0
        return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(troubles, 10))
