"""What llama.cpp says, as lines on standard error that the API process reads: a level's letter, a space, the text."""

import ctypes
import sys
from collections import deque
from typing import Any

import llama_cpp
from llama_cpp import mtmd_cpp

from app.engine.worker.memory import Account

#: ggml_log_level, as in ggml.h.
_LETTERS = {1: "D", 2: "I", 3: "W", 4: "E"}
_CONTINUES = 5

#: Many sequences share the context; none of them is let beyond what the model was trained on.
_HARMLESS = "possible training context overflow"

#: What was last reported as wrong: a load failure's reason reaches the caller only through the log, and the last line
#: of it merely says that there was one.
_troubles: deque[str] = deque(maxlen=4)
_letter = "D"
_wanted = "IWE"

#: What the model takes of the machine, as far as the log has told it.
account = Account()


def troubles() -> str:
    """What was last reported as wrong, in its order; empty for nothing."""
    return "; ".join(dict.fromkeys(_troubles))


def log(letter: str, text: str) -> None:
    sys.stderr.write("".join(f"{letter} {line}\n" for line in text.splitlines()))
    sys.stderr.flush()


def only_trouble() -> None:
    """From now on nothing below a warning: what llama.cpp says of every picture would cost more than it tells."""
    global _wanted  # noqa: PLW0603 - llama.cpp keeps one global callback
    _wanted = "WE"


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator, unused-ignore]
def _forward(level: int, text: bytes, _user_data: Any) -> None:
    global _letter  # noqa: PLW0603 - llama.cpp keeps one global callback
    if level != _CONTINUES:
        _letter = _LETTERS.get(level, "D")
    line = text.decode("utf-8", "replace").rstrip()
    if not line or _letter not in _wanted:
        return
    if _letter == "E":
        _troubles.append(" ".join(line.split()))
    account.hear(line)
    log("I" if _HARMLESS in line else _letter, line)


def forward_native_logs() -> None:
    nothing = ctypes.c_void_p(0)
    llama_cpp.llama_log_set(_forward, nothing)
    mtmd_cpp.mtmd_log_set(_forward, nothing)
    mtmd_cpp.mtmd_helper_log_set(_forward, nothing)
