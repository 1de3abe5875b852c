"""What llama.cpp's own reader finds in a GGUF file: how many weights, and how many bytes of them."""

import ctypes
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Weights:
    """Of some tensors together."""

    count: int
    bytes: int

    def __add__(self, other: "Weights") -> "Weights":
        return Weights(self.count + other.count, self.bytes + other.bytes)


class _Metadata(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


class GgufReader:
    """The file's header; its weights stay on the disk. Raises OSError for what is no GGUF file."""

    def __init__(self, path: Path) -> None:
        self._ggml = _ggml()
        self._file = self._ggml.gguf_init_from_file(str(path).encode(), _Metadata(True, None))
        if not self._file:
            raise OSError(f"{path} cannot be read as a GGUF file")

    def __enter__(self) -> "GgufReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ggml.gguf_free(self._file)

    def weights(self) -> dict[str, Weights]:
        ggml, found = self._ggml, {}
        for index in range(ggml.gguf_get_n_tensors(self._file)):
            kind, size = ggml.gguf_get_tensor_type(self._file, index), ggml.gguf_get_tensor_size(self._file, index)
            name = ggml.gguf_get_tensor_name(self._file, index).decode()
            found[name] = Weights(size // ggml.ggml_type_size(kind) * ggml.ggml_blck_size(kind), size)
        return found

    def number(self, key: str) -> int | None:
        """Of 32 bits without a sign."""
        at = self._ggml.gguf_find_key(self._file, key.encode())
        return None if at < 0 else int(self._ggml.gguf_get_val_u32(self._file, at))

    def text(self, key: str) -> str | None:
        at = self._ggml.gguf_find_key(self._file, key.encode())
        return None if at < 0 else str(self._ggml.gguf_get_val_str(self._file, at).decode())


@cache
def _ggml() -> ctypes.CDLL:
    package = find_spec("llama_cpp")  # not imported: that would load the rest
    if package is None or package.origin is None:
        raise OSError("llama-cpp-python is not installed")
    library = ctypes.CDLL(str(Path(package.origin).parent / "lib" / "libggml-base.so"))
    file, index, kind = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    signatures: dict[str, tuple[type, list[type]]] = {
        "gguf_init_from_file": (file, [ctypes.c_char_p, _Metadata]),
        "gguf_free": (type(None), [file]),
        "gguf_get_n_tensors": (index, [file]),
        "gguf_get_tensor_name": (ctypes.c_char_p, [file, index]),
        "gguf_get_tensor_size": (ctypes.c_size_t, [file, index]),
        "gguf_get_tensor_type": (kind, [file, index]),
        "gguf_find_key": (index, [file, ctypes.c_char_p]),
        "gguf_get_val_u32": (ctypes.c_uint32, [file, index]),
        "gguf_get_val_str": (ctypes.c_char_p, [file, index]),
        "ggml_type_size": (ctypes.c_size_t, [kind]),
        "ggml_blck_size": (index, [kind]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype = None if result is type(None) else result
        function.argtypes = arguments
    return library
