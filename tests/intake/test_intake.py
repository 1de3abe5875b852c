"""The asynchronous front, in real workers and with workers that fail."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.domain import Image
from app.errors import (
    DecodeFailed,
    EmptyUpload,
    NotAPicture,
    PictureTooLarge,
    TruncatedPicture,
    UploadTooLarge,
    WorkerCrashed,
    WorkerTimeout,
)
from app.intake.decode import Intake, IntakeLimits
from app.media_pool import MediaPool
from tests.intake.pictures import animation, encode, scene, steps

SECRET = b"a sampling secret"


class ScriptedWorkers:
    """Does what a worker might; `calls` are the arguments it got."""

    def __init__(self, end: Exception | None = None) -> None:
        self.end = end
        self.calls: list[tuple[Any, ...]] = []
        self.timeouts_s: list[float] = []

    async def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        self.calls.append(args)
        self.timeouts_s.append(timeout_s)
        if self.end is not None:
            raise self.end
        return function(*args)


async def decoded(intake: Intake, data: bytes, *, timeout_s: float) -> Image:
    return await intake.decode(await intake.inspect(data), timeout_s=timeout_s)


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[MediaPool]:
    pool = MediaPool(1, memory_mb=2048)
    await pool.start()
    yield pool
    await pool.aclose()


async def test_a_picture_decoded_in_a_worker(pool: MediaPool) -> None:
    data = encode(scene(), "PNG")
    image = await decoded(Intake(pool, IntakeLimits(), SECRET), data, timeout_s=60)
    assert image.facts.sha256 == hashlib.sha256(data).hexdigest()
    assert image.frames[0].picture.rgb == scene().tobytes()


async def test_a_refusal_comes_through_from_a_worker(pool: MediaPool) -> None:
    intake = Intake(pool, IntakeLimits(), SECRET)
    with pytest.raises(TruncatedPicture, match="cut off"):
        await decoded(intake, encode(scene(), "JPEG")[:2000], timeout_s=60)
    with pytest.raises(PictureTooLarge):
        await decoded(Intake(pool, IntakeLimits(max_side_px=100), SECRET), encode(scene(), "PNG"), timeout_s=60)
    assert (await decoded(intake, encode(scene(), "PNG"), timeout_s=60)).facts.width == 320


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", EmptyUpload), (b"<html>", NotAPicture), (b"\xff\xd8\xff" + b"x" * 5000, UploadTooLarge)],
)
async def test_what_costs_nothing_to_see_never_reaches_a_worker(data: bytes, error: type[Exception]) -> None:
    workers = ScriptedWorkers()
    with pytest.raises(error):
        await decoded(Intake(workers, IntakeLimits(max_bytes=5000), SECRET), data, timeout_s=5)
    assert workers.calls == []


async def test_the_secret_stays_here_and_the_seed_is_the_pictures_own() -> None:
    workers = ScriptedWorkers()
    data = animation(steps(30), "GIF")
    await decoded(Intake(workers, IntakeLimits(), SECRET), data, timeout_s=5)
    (call,) = workers.calls
    assert hmac.digest(SECRET, hashlib.sha256(data).digest(), "sha256") in call
    assert SECRET not in call


async def test_the_shorter_of_both_limits_holds() -> None:
    workers = ScriptedWorkers()
    intake = Intake(workers, IntakeLimits(timeout_s=10), SECRET)
    await decoded(intake, encode(scene(), "PNG"), timeout_s=3)
    await decoded(intake, encode(scene(), "PNG"), timeout_s=60)
    assert workers.timeouts_s == [3, 10]


async def test_a_picture_that_keeps_a_decoder_busy_for_the_whole_limit_is_refused() -> None:
    workers = ScriptedWorkers(WorkerTimeout("no result", ran_s=10.04))
    with pytest.raises(DecodeFailed, match="longer than 10 s"):
        await decoded(Intake(workers, IntakeLimits(timeout_s=10), SECRET), encode(scene(), "PNG"), timeout_s=60)


async def test_a_picture_cut_off_shortly_before_the_limit_is_not_said_to_have_had_all_of_it() -> None:
    """The upload's own deadline came first."""
    workers = ScriptedWorkers(WorkerTimeout("no result", ran_s=7.61))
    with pytest.raises(DecodeFailed, match=r"longer than 7\.6 s"):
        await decoded(Intake(workers, IntakeLimits(timeout_s=10), SECRET), encode(scene(), "PNG"), timeout_s=7.6)


@pytest.mark.parametrize(
    "end", [WorkerTimeout("none was free"), WorkerTimeout("deadline", ran_s=1.0), WorkerCrashed("x")]
)
async def test_faults_of_the_machine_are_not_the_uploads(end: Exception) -> None:
    with pytest.raises(type(end)):
        await decoded(Intake(ScriptedWorkers(end), IntakeLimits(), SECRET), encode(scene(), "PNG"), timeout_s=5)
