"""The process that checks policies makes way for uploads."""

import os

from app.media_pool import MediaPool
from app.policy.checking import get_ready


async def test_it_gives_way_within_the_service_that_it_belongs_to() -> None:
    """Where the kernel groups processes by session (`sched_autogroup`), niceness means something within one only."""
    pool = MediaPool(1, memory_mb=512, warm_up=[get_ready])
    await pool.start()
    try:
        [pid] = pool.pids
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
        assert os.getsid(pid) == os.getsid(0)
    finally:
        await pool.aclose()
