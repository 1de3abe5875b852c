import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.engine.base import ModelFiles
from app.engine.gguf import GgufFacts, check_gguf
from app.errors import ModelFileCorrupt


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def small_gguf(tensor_type: int = 1, elements: int = 64) -> bytes:
    """One tensor, three keys, one of them an array of strings."""
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 3)
    header += string("general.architecture") + struct.pack("<I", 8) + string("clip")
    header += string("general.alignment") + struct.pack("<II", 4, 64)
    header += string("words") + struct.pack("<IIQ", 9, 8, 2) + string("a") + string("bc")
    header += string("weight") + struct.pack("<IQ", 1, elements) + struct.pack("<IQ", tensor_type, 0)
    return header + b"\0" * (-len(header) % 64)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "file.gguf"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("tensor_type", "data_bytes"), [(0, 256), (1, 128), (8, 68), (99, 1)], ids=["f32", "f16", "q8_0", "unknown"]
)
def test_a_file_must_hold_every_tensor_it_lists(tmp_path: Path, tensor_type: int, data_bytes: int) -> None:
    header = small_gguf(tensor_type)

    facts = check_gguf(write(tmp_path, header + b"\0" * data_bytes))
    assert facts == GgufFacts("clip", 1, len(header) + data_bytes)

    with pytest.raises(ModelFileCorrupt, match=f"is cut: it has {len(header) + data_bytes - 1} bytes"):
        check_gguf(write(tmp_path, header + b"\0" * (data_bytes - 1)))


def test_the_demonstration_pair_is_exactly_as_long_as_it_says(demo: ModelFiles) -> None:
    for path, architecture in ((demo.model, "deepseek2"), (demo.projector, "clip")):
        facts = check_gguf(path)
        assert (facts.architecture, facts.needed_bytes) == (architecture, path.stat().st_size)


@pytest.mark.parametrize("data", [b"", b"GG", b"<!doctype html>", b"GGUF", b"GGUF" + b"\xff" * 64])
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelFileCorrupt):
        check_gguf(write(tmp_path, data))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(length=st.integers(0, len(small_gguf())), junk=st.binary(max_size=24), at=st.integers(4, len(small_gguf())))
def test_a_header_that_is_cut_or_scrambled_is_refused_or_read_never_a_crash(
    tmp_path: Path, length: int, junk: bytes, at: int
) -> None:
    whole = bytearray(small_gguf() + b"\0" * 128)
    whole[at : at + len(junk)] = junk

    for data in (bytes(whole), bytes(whole[:length])):
        try:
            facts = check_gguf(write(tmp_path, data))
        except ModelFileCorrupt:
            continue
        assert facts.needed_bytes <= len(data)


def test_arrays_nested_without_end_are_refused(tmp_path: Path) -> None:
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("deep") + struct.pack("<I", 9)
    data += struct.pack("<IQ", 9, 1) * 100_000

    with pytest.raises(ModelFileCorrupt):
        check_gguf(write(tmp_path, data))
