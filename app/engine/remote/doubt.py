"""Whose fault it is that a server fails, while that is not known."""


class Doubt:
    """At most so many faults of the server's own count against it, since all of them may be one picture's doing; None
    for as many as there are."""

    def __init__(self, most: int | None) -> None:
        self._left = most

    def counts(self) -> bool:
        """Whether one more does."""
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0
