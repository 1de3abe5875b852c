"""What is made to last. Python looks for cycles among all that was made since it last did, and a ruleset of 500 rules
is some fifty thousand objects without one: such a look held every upload up for some dozens of milliseconds, in the
midst of every second activation or soon after, and again and again while the ruleset stood. So nobody looks while one
is put together, and what it is made of is set aside then. Without cycles, an old ruleset goes when nobody has it.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: What uploads have left lately, some thousands of objects: what is garbage of that is not set aside.
_YOUNG = 1
#: Older garbage in cycles is set aside too: it goes with the next thorough look, after so many.
_THOROUGH_EVERY = 100


class Lasting:
    """For the one process that serves: what it does concerns all that is in it."""

    def __init__(self) -> None:
        self._times = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Around the making. What others make meanwhile is looked at later."""
        looking = gc.isenabled()
        if looking:
            gc.collect(_YOUNG)
        gc.disable()
        try:
            yield
        finally:
            self._times += 1
            if self._times % _THOROUGH_EVERY == 0:
                look_thoroughly()
            gc.freeze()
            if looking:
                gc.enable()


def look_thoroughly() -> None:
    """Sets aside all that is there, without its garbage. Takes a tenth of a second or more."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
