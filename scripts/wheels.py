"""Wheels of the two packages that have none for Linux, built once from hash-checked sources and kept.

pip's own wheel cache knows nothing of CMAKE_ARGS and would hand a CPU build to someone who asked for CUDA.
"""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from scripts.locks import Locked
from scripts.progress import run_logged, say

#: Packages without Linux wheels. Everything else is installed from wheels only.
SOURCE_BUILT = ("pdqhash", "llama-cpp-python")

#: What reaches compilers through the environment and changes what they make.
BUILD_VARIABLES = ("CMAKE_ARGS", "CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CUDACXX", "CUDAHOSTCXX", "CUDAARCHS")

_CPU_EXTENSIONS = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx")


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "portcullis" / "wheels"


def build_key(package: Locked, variables: Mapping[str, str], python_tag: str) -> str:
    """Two builds with the same key are interchangeable. `python_tag` is like "cpython-311"."""
    facts = {
        "package": package.name,
        "version": package.version,
        "hashes": sorted(package.hashes),
        "python": python_tag,
        "machine": platform.machine(),
        "libc": _libc(),
        "variables": {name: variables.get(name, "") for name in BUILD_VARIABLES},
        "cpu": cpu_extensions() if _native(variables) else "any",
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _libc() -> str:
    """Of the running system; `platform.libc_ver` tells what the interpreter was linked against."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except ValueError:
        return ""


def _native(variables: Mapping[str, str]) -> bool:
    return "-DGGML_NATIVE=OFF" not in variables.get("CMAKE_ARGS", "").upper()


def cpu_extensions(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The instruction sets that `-march=native` may use; a wheel built here crashes on a CPU with fewer."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return " ".join(sorted(flag for flag in set(value.split()) if flag.startswith(_CPU_EXTENSIONS)))
        if name.strip() == "Features":
            return " ".join(sorted(set(value.split())))
    return platform.processor()


def built_wheel(package: Locked, key: str, python: Path, log: Path, environment: Mapping[str, str]) -> Path:
    """The wheel for `key`, from the cache or built now. Raises CommandFailed."""
    home = cache_dir() / key
    kept = sorted(home.glob("*.whl"))
    if kept:
        return kept[0]
    if package.name == "llama-cpp-python":
        say(
            "llama-cpp-python is published as source only: compiling its llama.cpp now, about 9 minutes on 2 cores,"
            " once; the wheel is kept for next time."
        )
    home.parent.mkdir(parents=True, exist_ok=True)
    # An interrupted compiler may still be writing while its folder is removed.
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".building-", ignore_cleanup_errors=True) as work:
        requirement = Path(work) / "requirement.txt"
        requirement.write_text(package.text + "\n", encoding="utf-8")
        made = Path(work) / "wheel"
        command: list[str | Path] = [python, "-m", "pip", "wheel", "--verbose", "--no-deps", "--require-hashes"]
        # pip's cache is keyed by address alone: it could hold a wheel built with other CMAKE_ARGS.
        command += ["--no-build-isolation", "--no-cache-dir", "--no-binary", package.name]
        command += ["--wheel-dir", made, "--requirement", requirement]
        run_logged(f"Compiling {package.name} {package.version}", command, log, environment)
        shutil.rmtree(home, ignore_errors=True)
        made.replace(home)
    return next(home.glob("*.whl"))
