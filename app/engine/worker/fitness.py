"""Whether what llama.cpp loads can be served, and what to say when not."""

from typing import Any

import llama_cpp
from llama_cpp import mtmd_cpp

from app.engine.worker import logs
from app.errors import (
    EngineError,
    GpuMissing,
    ModelFileCorrupt,
    ModelUnsupported,
    ProjectorMismatch,
    TooLittleMemory,
)

#: Parts of llama.cpp's own words, and what they mean. It gives no codes.
_MEANINGS: dict[str, type[EngineError]] = {
    "unknown model architecture": ModelUnsupported,
    "unknown pre-tokenizer type": ModelUnsupported,
    "unknown projector type": ModelUnsupported,
    "unsupported decoder rope type": ModelUnsupported,
    "mismatch between text model": ProjectorMismatch,
    "unable to allocate": TooLittleMemory,
    "failed to allocate": TooLittleMemory,
    "out of memory": TooLittleMemory,
}


def refusal(what: str, otherwise: type[EngineError] = ModelFileCorrupt) -> EngineError:
    """Of what llama.cpp has just refused; `what` begins the sentence, and it is `otherwise` where nothing says more."""
    said = logs.troubles()
    meaning = next((error for words, error in _MEANINGS.items() if words in said), otherwise)
    return meaning(f"{what}: {said or 'no reason given'}")


def require_gpu(gpu: str | None) -> None:
    """Raises GpuMissing for one that was named and is not seen: llama.cpp would go on without, on the processor."""
    if gpu is not None and not llama_cpp.llama_supports_gpu_offload():
        raise GpuMissing(
            f"llama.cpp sees no GPU {gpu}: PORTCULLIS_ENGINE_GPUS must name what this machine has, and llama.cpp must "
            "be built for it (CMAKE_ARGS)"
        )


def require_shareable(model: Any) -> None:
    """Raises ModelUnsupported for a model whose memory cannot be shared between questions."""
    if llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model):
        raise ModelUnsupported(
            "this model sums up what it has read (it is recurrent, or in part): questions cannot share a picture"
        )
    if llama_cpp.llama_model_has_encoder(model) or not llama_cpp.llama_model_has_decoder(model):
        raise ModelUnsupported("this model is not one that only decodes")
    if llama_cpp.llama_model_is_diffusion(model):
        raise ModelUnsupported("this model writes all of a text at once, so that no first token can be read")


def require_eyes(projector: Any, path: str) -> None:
    """Raises ModelUnsupported for a projector of other media."""
    if not mtmd_cpp.mtmd_support_vision(projector):
        raise ModelUnsupported(f"the projector {path} is not one for pictures")
