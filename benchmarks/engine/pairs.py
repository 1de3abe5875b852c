"""Writes a pair of GGUF files with random weights: `python -m benchmarks.engine.pairs SHAPE FOLDER [--type q8_0]`.

What it says is noise; how long it takes is what the shape makes it. For benchmarks and equality tests only.
"""

import argparse
from pathlib import Path

from benchmarks.engine import gemma3, llava, qwen2vl, youtuvl
from benchmarks.engine.gguf_file import Kind
from benchmarks.engine.shapes import SHAPES, GemmaShape, LlavaShape, QwenShape

#: Of text and vision. The published pair has the second.
KINDS = {
    "f16": (Kind.F16, Kind.F16),
    "bf16": (Kind.BF16, Kind.BF16),
    "q4_0": (Kind.Q4_0, Kind.BF16),
    "q8_0": (Kind.Q8_0, Kind.BF16),
}


def write_pair(name: str, folder: Path, kind: str = "f16") -> tuple[Path, Path]:
    """`model.gguf` and `mmproj.gguf` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model, projector = folder / "model.gguf", folder / "mmproj.gguf"
    of_text, of_vision = KINDS[kind]
    match SHAPES[name]:
        case QwenShape() as shape:
            qwen2vl.write_text(model, shape, of_text)
            qwen2vl.write_vision(projector, shape, of_vision)
        case LlavaShape() as shape:
            llava.write_text(model, shape, of_text)
            llava.write_vision(projector, shape, of_vision)
        case GemmaShape() as shape:
            gemma3.write_text(model, shape, of_text)
            gemma3.write_vision(projector, shape, of_vision)
        case shape:
            youtuvl.write_text(model, shape, of_text)
            youtuvl.write_vision(projector, shape, of_vision)
    return model, projector


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.pairs", description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--type", choices=KINDS, default="f16")
    given = parser.parse_args()
    for written in write_pair(given.shape, given.folder, given.type):
        print(f"{written} {written.stat().st_size / 1e6:.1f} MB")
