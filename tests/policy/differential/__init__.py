"""The policy language beside a second reading of it, which shares no code with the first.

`FUZZ_EXAMPLES=20000 pytest tests/policy/differential` looks longer than a test run does.
"""

import os


def examples(few: int) -> int:
    """How many cases to try: a few in every test run, as many as are asked for by hand."""
    return int(os.environ.get("FUZZ_EXAMPLES", few))
