"""The pair as the service runs it: the engine process's own code, loaded into this process."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from app.domain import QuestionKind
from app.engine.base import ModelFiles
from app.engine.catalogue import load_catalogue, resolve
from app.engine.worker import decode, picture
from app.engine.worker.job import Job
from app.engine.worker.protocol import Answered, Ask, AskedQuestion, Load
from app.engine.worker.resident import load_resident

_MODELS = Path(__file__).resolve().parents[2]
_CONTEXT_TOKENS = 4096
_SEQUENCES = 48
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
    return dataclasses.replace(files, model=folder / "model.gguf", projector=folder / "mmproj.gguf")


class Service:
    def __init__(self, files: ModelFiles, *, threads: int = 2) -> None:
        self._resident = load_resident(
            Load(
                model=str(files.model),
                projector=str(files.projector),
                before_picture=files.chat_form.before_picture,
                after_picture=files.chat_form.after_picture,
                after_question=files.chat_form.after_question,
                yes_words=files.words.yes,
                no_words=files.words.no,
                picture_tokens=files.picture_tokens,
                gpu_layers=0,
                threads=threads,
                context_tokens=_CONTEXT_TOKENS,
                parallel_questions=_SEQUENCES,
            )
        )

    def ask(self, pixels: np.ndarray, probes: Sequence[str], prompts: Sequence[str] = ()) -> Answers:
        """`pixels` uint8 (height, width, 3), of any size: llama.cpp scales as it does for the service."""
        kinds = [QuestionKind.YES_NO] * len(probes) + [QuestionKind.GENERATE] * len(prompts)
        questions = tuple(
            AskedQuestion(number=n, kind=kind, prompt=prompt, max_tokens=_ANSWER_TOKENS)
            for n, (kind, prompt) in enumerate(zip(kinds, (*probes, *prompts), strict=True))
        )
        found: dict[int, Answered] = {}
        Job(self._resident, self._order(pixels, questions), lambda a: found.update({a.number: a})).run(
            pixels.tobytes(), lambda: False
        )
        decode.forget(self._resident.model, wipe=False)
        logs = [(_known(found[n].log_yes), _known(found[n].log_no)) for n in range(len(probes))]
        yes, no = np.array(logs, np.float64).reshape(-1, 2).T
        return Answers(yes, no, tuple(found[n].text or "" for n in range(len(probes), len(questions))))

    def last_logits(self, pixels: np.ndarray, prompts: Iterable[str]) -> np.ndarray:
        """(prompts, vocabulary): the logits after each prompt, all forked from one picture."""
        resident = self._resident
        rows = []
        with picture.tokenized(resident.model, resident.form, self._order(pixels, ()), pixels.tobytes()) as prefix:
            start = list(picture.evaluate(resident.model, prefix))[-1]
        for sequence, prompt in enumerate(prompts, start=1):
            tokens = self.tokens(prompt) + resident.tokenizer.form(resident.form.after_question)
            decode.fork(resident.model, sequence)
            entries = [decode.Entry(token, start + n, sequence, n == len(tokens) - 1) for n, token in enumerate(tokens)]
            rows += [logits for _, logits in decode.decode(resident.model, entries)]
        decode.forget(resident.model, wipe=False)
        return np.stack(rows)

    def tokens(self, text: str) -> list[int]:
        return list(self._resident.tokenizer.plain(text))

    @staticmethod
    def _order(pixels: np.ndarray, questions: tuple[AskedQuestion, ...]) -> Ask:
        height, width, _ = pixels.shape
        return Ask(job=1, width=width, height=height, remaining_s=600.0, questions=questions)


def _known(value: float | None) -> float:
    if value is None:
        raise RuntimeError("the engine did not answer a probe")
    return value
