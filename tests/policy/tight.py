"""What a test gives to a process that checks policies: it has to be importable there."""

import resource
from pathlib import Path

from app.policy.checking import get_ready

_LEFT_BYTES = 16 << 20


def get_ready_with_little_memory() -> None:
    """Enough for a small policy, and not for a large one."""
    get_ready()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _LEFT_BYTES, used + _LEFT_BYTES))
