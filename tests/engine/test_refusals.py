"""Files that are whole and still cannot serve: each is refused when it is loaded, with a code of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.domain import EngineState
from app.engine.base import AnswerWords, EngineConfig, ModelFiles
from app.engine.local import LocalEngine
from app.engine.process import EngineProcess
from app.engine.runtime import Runtime
from app.errors import (
    ChatTemplateUnusable,
    EngineError,
    EngineUnavailable,
    ModelFileCorrupt,
    ModelUnsupported,
    ProjectorMismatch,
)
from tests.engine.tiny.pairs import Weights, parts, write_gguf, write_pair

Pair = tuple[Path, Path]


def config(pair: Pair) -> EngineConfig:
    files = ModelFiles(
        name="tiny",
        model=pair[0],
        projector=pair[1],
        chat_form=None,
        words=AnswerWords(("Yes",), ("No",)),
        picture_tokens=64,
        demonstration=False,
    )
    return EngineConfig(files=files, runtime=Runtime(threads=1, context_tokens=1024, gpu_layers=0))


def eyes_of_another_width(folder: Path) -> Pair:
    return write_pair("qwen2vl", folder)[0], write_pair("qwen2vl", folder / "wider", width=96)[1]


def eyes_of_another_family(folder: Path) -> Pair:
    return write_pair("llava", folder)[0], write_pair("gemma3", folder / "other", width=96)[1]


def without_template(folder: Path) -> Pair:
    return write_pair("qwen2vl", folder, template=None)


def with_a_template_that_refuses(folder: Path) -> Pair:
    return write_pair("qwen2vl", folder, template="{{ raise_exception('only texts') }}")


def recurrent(folder: Path) -> Pair:
    return write_pair("mamba", folder)


def changed(name: str, part: int, change: Callable[[dict[str, object], Weights], None]) -> Callable[[Path], Pair]:
    """The pair with its model (0) or projector (1) changed."""

    def write(folder: Path) -> Pair:
        pair = write_pair(name, folder)
        metadata, weights = parts(name)[part]
        change(metadata, weights)
        write_gguf(pair[part], metadata, weights)
        return pair

    return write


def of_no_known_architecture(metadata: dict[str, object], _: Weights) -> None:
    metadata["general.architecture"] = "nobodys"


def of_no_known_projector(metadata: dict[str, object], _: Weights) -> None:
    metadata["clip.projector_type"] = "nobodys"


def blind(metadata: dict[str, object], _: Weights) -> None:
    metadata["clip.has_vision_encoder"] = False


def without_a_tensor(_: dict[str, object], weights: Weights) -> None:
    del weights.tensors["blk.1.ffn_down.weight"]


def with_a_tensor_of_another_shape(_: dict[str, object], weights: Weights) -> None:
    weights.tensors["blk.1.ffn_down.weight"] = np.zeros((32, 32), np.float32)


def without_a_part_of_the_eyes(_: dict[str, object], weights: Weights) -> None:
    del weights.tensors["mm.2.weight"]


def without_layers_said(metadata: dict[str, object], _: Weights) -> None:
    del metadata["clip.vision.block_count"]


@pytest.mark.parametrize(
    ("written", "error", "sentence"),
    [
        (eyes_of_another_width, ProjectorMismatch, r"n_embd = 64\) and mmproj \(n_embd = 96\)"),
        (eyes_of_another_family, ProjectorMismatch, r"n_embd = 64\) and mmproj \(n_embd = 96\)"),
        (without_template, ChatTemplateUnusable, "has no chat template; PORTCULLIS_CHAT_FORM can name"),
        (with_a_template_that_refuses, ChatTemplateUnusable, "only texts; PORTCULLIS_CHAT_FORM can name"),
        (recurrent, ModelUnsupported, "recurrent"),
        (changed("qwen2vl", 0, of_no_known_architecture), ModelUnsupported, "nobodys"),
        (changed("qwen2vl", 1, of_no_known_projector), ModelUnsupported, "nobodys"),
        (changed("qwen2vl", 1, blind), ModelFileCorrupt, "cannot load the projector"),
        (changed("qwen2vl", 0, without_a_tensor), ModelFileCorrupt, "blk.1"),
        (changed("qwen2vl", 0, with_a_tensor_of_another_shape), ModelFileCorrupt, "blk.1"),
        (changed("qwen2vl", 1, without_a_part_of_the_eyes), ModelFileCorrupt, r"mm\.2\.weight"),
        (changed("qwen2vl", 1, without_layers_said), ModelFileCorrupt, "block_count"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_it_is_refused_when_it_is_loaded(
    tmp_path: Path, written: Callable[[Path], Pair], error: type[EngineError], sentence: str
) -> None:
    with pytest.raises(EngineError, match=sentence) as caught:
        await EngineProcess.start(config(written(tmp_path)), lambda: None)

    assert type(caught.value) is error


async def test_the_engine_says_so_and_does_not_try_again_and_again(tmp_path: Path) -> None:
    engine = LocalEngine(config(eyes_of_another_width(tmp_path)))
    await engine.start()

    with pytest.raises(EngineUnavailable, match="mismatch between text model"):
        await engine.wait_ready(60.0)

    assert engine.info.state is EngineState.FAILED
    await engine.aclose()
