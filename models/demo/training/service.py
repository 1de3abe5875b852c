"""The pair as the service runs it: its engine process, asked one picture after another."""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from app.domain import Answer, EngineJob, Picture, Question, QuestionKind, Status
from app.engine.base import EngineConfig, ModelFiles
from app.engine.catalogue import load_catalogue, resolve
from app.engine.local import LocalEngine
from app.engine.runtime import Runtime

_MODELS = Path(__file__).resolve().parents[2]
_START_S = 120.0
#: Never reached but on a machine that hangs: a probe without an answer ends the evaluation.
_PATIENCE_S = 600.0
_ANSWER_TOKENS = 48


@dataclasses.dataclass(frozen=True)
class Answers:
    """`log_yes`, `log_no`: natural logarithms, one for each probe. `texts`: one for each open question."""

    log_yes: np.ndarray
    log_no: np.ndarray
    texts: tuple[str, ...]

    @property
    def p(self) -> np.ndarray:
        """The probability of yes, as the policy computes it."""
        return 1.0 / (1.0 + np.exp(self.log_no - self.log_yes))

    @property
    def mass(self) -> np.ndarray:
        return np.exp(self.log_yes) + np.exp(self.log_no)


def demo_files(folder: Path | None = None) -> ModelFiles:
    """The catalogue's demo entry, with the weights of `folder` instead of the shipped ones where given."""
    files = resolve(load_catalogue(_MODELS / "catalogue.yaml"), "demo", models_dir=_MODELS)
    if folder is None:
        return files
    model, projector = folder / "model.gguf", folder / "mmproj.gguf"
    return dataclasses.replace(files, model=model, projector=projector, model_digest=None, projector_digest=None)


class Service:
    """A context manager: the engine process lives within it."""

    def __init__(self, files: ModelFiles, *, threads: int = 1) -> None:
        self._runner = asyncio.Runner()
        self._engine = LocalEngine(
            EngineConfig(files=files, runtime=Runtime(gpu_layers=0, threads=threads), parallel_questions=48)
        )

    def __enter__(self) -> Self:
        self._runner.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._engine.aclose())
        self._runner.close()

    async def _start(self) -> None:
        await self._engine.start()
        await self._engine.wait_ready(_START_S)

    def ask(self, pixels: np.ndarray, probes: Sequence[str], prompts: Sequence[str] = ()) -> Answers:
        """`pixels` uint8 (height, width, 3), of any size: llama.cpp scales as it does for every upload."""
        return self._runner.run(self._ask(pixels, probes, prompts))

    async def _ask(self, pixels: np.ndarray, probes: Sequence[str], prompts: Sequence[str]) -> Answers:
        asked = [Question(f"probe/{n}", QuestionKind.YES_NO, prompt) for n, prompt in enumerate(probes)]
        asked += [Question(f"text/{n}", QuestionKind.GENERATE, p, _ANSWER_TOKENS) for n, p in enumerate(prompts)]
        height, width, _ = pixels.shape
        shown = Picture(width, height, np.ascontiguousarray(pixels).tobytes())
        job = EngineJob("evaluation", shown, tuple(asked), time.monotonic() + _PATIENCE_S)
        found = {answer.question_id: _answered(answer) async for answer in self._engine.ask(job)}
        logs = [(found[q.id].log_yes, found[q.id].log_no) for q in asked[: len(probes)]]
        yes, no = np.array(logs, np.float64).reshape(-1, 2).T
        return Answers(yes, no, tuple(found[q.id].text or "" for q in asked[len(probes) :]))


def _answered(answer: Answer) -> Answer:
    if answer.status is not Status.OK:
        raise RuntimeError(f"{answer.question_id} ended {answer.status.value}: {answer.reason}")
    return answer
