"""What `nvidia-smi` tells of GPUs, and the limits that their data sheets name. Without the tool there are none."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_MIB = 1 << 20
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Peak:
    """Of one GPU: floating-point operations (16 bits, dense, a multiplication and an addition are two) and bytes of its
    memory, each a second."""

    operations_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    memory_bytes: int


#: By the name that the tool prints: dense FP16 or BF16 with FP32 sums, in 10^12, and GB/s, from NVIDIA's data sheets.
_SHEETS = {
    "NVIDIA H200": (989.0, 4800.0),
    "NVIDIA H100 80GB HBM3": (989.0, 3350.0),
    "NVIDIA H100 PCIe": (756.0, 2000.0),
    "NVIDIA A100-SXM4-80GB": (312.0, 2039.0),
    "NVIDIA A100 80GB PCIe": (312.0, 1935.0),
    "NVIDIA A100-SXM4-40GB": (312.0, 1555.0),
    "NVIDIA L40S": (362.0, 864.0),
    "NVIDIA L4": (121.0, 300.0),
    "NVIDIA A10": (125.0, 600.0),
    "Tesla T4": (65.0, 320.0),
    "NVIDIA GeForce RTX 4090": (165.0, 1008.0),
    "NVIDIA GeForce RTX 3090": (71.0, 936.0),
}


def gpus() -> list[Gpu]:
    return [Gpu(name, total * _MIB) for name, total, _ in _cards()]


def used_bytes() -> int:
    """Of all GPUs together, by whomever."""
    return sum(used * _MIB for *_, used in _cards())


def process_bytes(pid: int) -> int | None:
    """What this process and those it started hold on all GPUs. None where the tool does not name them: in a container
    it often sees no processes, or others' numbers."""
    mine = {str(one) for one in (pid, *_descendants(pid))}
    rows = _query("--query-compute-apps=pid,used_memory", 2)
    held = [int(used) * _MIB for one, used in rows if one in mine and used.isdigit()]
    return sum(held) if held else None


def peak_of(name: str) -> Peak | None:
    if name not in _SHEETS:
        return None
    tera, giga = _SHEETS[name]
    return Peak(tera * 1e12, giga * 1e9)


def _cards() -> list[tuple[str, int, int]]:
    """Name, MiB in all and MiB in use of each; 0 for what a card does not tell."""
    rows = _query("--query-gpu=name,memory.total,memory.used", 3)
    return [(name, _mib(total), _mib(used)) for name, total, used in rows]


def _mib(told: str) -> int:
    return int(told) if told.isdigit() else 0


def _query(what: str, columns: int) -> list[list[str]]:
    """Nothing where there is no such tool, or it fails, or hangs."""
    command = ["nvidia-smi", what, "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return []
    rows = [[part.strip() for part in line.split(",")] for line in said.stdout.splitlines()]
    return [row for row in rows if len(row) == columns]


def _descendants(pid: int) -> set[int]:
    """Linux; none elsewhere."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError, UnicodeDecodeError):
            continue
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found
