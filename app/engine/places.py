"""Where the processes of an engine run: each on a GPU of its own, or all on whatever there is. Pure."""

import re
from dataclasses import dataclass

from app.errors import ConfigurationError

#: As `nvidia-smi -L`, `rocm-smi` and `rocminfo` print them: a number, or an id that stays when cards come and go.
_GPU = re.compile(r"0|[1-9]\d{0,2}|(GPU|MIG)-[0-9A-Za-z][0-9A-Za-z/-]{0,99}")


@dataclass(frozen=True, slots=True)
class Place:
    """Of one engine process. `name` is for people; without a `gpu` it sees what the service sees."""

    name: str
    gpu: str | None = None


def places(gpus: str | None, processes: int, *, gpu_layers: int) -> tuple[Place, ...]:
    """By what the settings say: a process for each GPU of the list, else so many. Raises ConfigurationError."""
    if gpus is None:
        return tuple(Place(f"process {number}") for number in range(1, processes + 1))
    names = [name.strip() for name in gpus.split(",")]
    for name in names:
        if not _GPU.fullmatch(name):
            raise ConfigurationError(
                f"PORTCULLIS_ENGINE_GPUS: '{name}' is no GPU: give numbers, as in 0,1, or ids that begin with GPU- or "
                "MIG-, with commas between them"
            )
        if names.count(name) > 1:
            raise ConfigurationError(f"PORTCULLIS_ENGINE_GPUS names {name} twice: each process has a GPU to itself")
    if processes not in {1, len(names)}:
        raise ConfigurationError(
            f"PORTCULLIS_ENGINE_GPUS names {len(names)} and PORTCULLIS_ENGINE_PROCESSES is {processes}: each GPU has "
            "one process, so leave the number unset"
        )
    if gpu_layers == 0:
        raise ConfigurationError("PORTCULLIS_ENGINE_GPUS is set and PORTCULLIS_ENGINE_GPU_LAYERS=0 would use none")
    return tuple(Place(f"gpu {name}", name) for name in names)


def seeing_only(gpu: str) -> dict[str, str]:
    """The environment in which llama.cpp's back ends see this GPU alone, whatever the service itself may see."""
    return {
        # Else CUDA counts the quickest card as 0, and not as nvidia-smi does.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": gpu,
        # ROCm's runtime hides the others, and HIP counts what that left. HIP's own goes before CUDA's, which it heeds
        # too and which has the wrong number here.
        "ROCR_VISIBLE_DEVICES": gpu,
        "HIP_VISIBLE_DEVICES": "0",
        # Knows numbers only; of an id it sees no GPU, and the process refuses to start.
        "GGML_VK_VISIBLE_DEVICES": gpu,
    }
