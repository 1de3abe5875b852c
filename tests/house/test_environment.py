"""Setting up: when there is work to do, which wheels are interchangeable, what is said when something fails."""

import sys
from pathlib import Path

import pytest

from scripts import environment
from scripts.environment import Plan, is_current, make_plan, read_stamp
from scripts.locks import Locked
from scripts.progress import CommandFailed, run_logged
from scripts.wheels import build_key, built_wheel, cache_dir, cpu_extensions

_HASHES = ("sha256:" + "0" * 64,)
_PACKAGE = Locked("llama-cpp-python", "1.0", _HASHES, f"llama-cpp-python==1.0 --hash={_HASHES[0]}")
_TAG = "cpython-311"


class TestWork:
    PLAN = Plan(digests={"runtime": "r1", "dev": "d1"}, wheels={}, variables={})

    @pytest.mark.parametrize(
        ("profile", "installed", "current"),
        [
            ("runtime", {"runtime": "r1"}, True),
            ("runtime", {"runtime": "r0"}, False),
            ("runtime", {"dev": "d1"}, True),
            ("dev", {"runtime": "r1"}, False),
            ("dev", {"runtime": "r1", "dev": "d0"}, False),
            ("dev", {"dev": "d1"}, True),
            ("runtime", {}, False),
            ("runtime", "not a table", False),
        ],
    )
    def test_is_due_unless_the_same_input_was_installed(self, profile: str, installed: object, current: bool) -> None:
        assert is_current(profile, {"digests": installed}, self.PLAN) is current

    @pytest.mark.parametrize("content", [None, "", "{", "[1, 2]", "null", "\x00"])
    def test_an_unreadable_stamp_counts_as_none(
        self, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stamp = tmp_path / "stamp.json"
        if content is not None:
            stamp.write_text(content, encoding="utf-8")
        monkeypatch.setattr(environment, "STAMP", stamp)
        assert read_stamp() == {}


class TestBuildVariables:
    @pytest.fixture(autouse=True)
    def unset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CMAKE_ARGS", raising=False)

    def test_a_gpu_build_stays_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
        first = make_plan(_TAG, {})
        monkeypatch.delenv("CMAKE_ARGS")
        assert make_plan(_TAG, {"variables": first.variables}) == first

    def test_an_empty_value_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = make_plan(_TAG, {})
        monkeypatch.setenv("CMAKE_ARGS", "")
        assert make_plan(_TAG, {"variables": {"CMAKE_ARGS": "-DGGML_CUDA=on"}}) == plain

    def test_a_changed_value_is_another_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = make_plan(_TAG, {})
        monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
        changed = make_plan(_TAG, {"variables": plain.variables})
        assert changed.digests["runtime"] != plain.digests["runtime"]
        assert changed.wheels["llama-cpp-python"] != plain.wheels["llama-cpp-python"]

    def test_another_python_is_another_environment(self) -> None:
        assert make_plan("cpython-312", {}).digests["dev"] != make_plan(_TAG, {}).digests["dev"]


class TestBuildKey:
    def test_depends_on_all_that_changes_a_wheel(self) -> None:
        keys = [
            build_key(_PACKAGE, {}, _TAG),
            build_key(_PACKAGE, {"CMAKE_ARGS": "-DGGML_CUDA=on"}, _TAG),
            build_key(_PACKAGE, {"CXX": "clang++"}, _TAG),
            build_key(_PACKAGE, {"CMAKE_ARGS": "-DGGML_NATIVE=OFF"}, _TAG),
            build_key(_PACKAGE, {}, "cpython-312"),
            build_key(Locked("llama-cpp-python", "1.0", (), ""), {}, _TAG),
        ]
        assert len(set(keys)) == len(keys)
        assert keys == [key.lower() for key in keys]

    def test_does_not_depend_on_other_variables(self) -> None:
        assert build_key(_PACKAGE, {"HOME": "/"}, _TAG) == build_key(_PACKAGE, {}, _TAG)

    def test_a_native_build_belongs_to_its_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        native, portable = {"CMAKE_ARGS": ""}, {"CMAKE_ARGS": "-DGGML_NATIVE=off"}
        before = build_key(_PACKAGE, native, _TAG), build_key(_PACKAGE, portable, _TAG)
        monkeypatch.setattr("scripts.wheels.cpu_extensions", lambda: "avx512f")
        after = build_key(_PACKAGE, native, _TAG), build_key(_PACKAGE, portable, _TAG)
        assert (before[0] != after[0], before[1] == after[1]) == (True, True)

    @pytest.mark.parametrize(
        ("text", "extensions"),
        [
            ("processor\t: 0\nflags\t\t: fpu avx2 sse4_2 avx rdseed\n\nflags\t\t: fpu\n", "avx avx2 sse4_2"),
            ("processor\t: 0\nFeatures\t: fp asimd sve\n", "asimd fp sve"),
        ],
    )
    def test_reads_what_the_cpu_can_do(self, text: str, extensions: str, tmp_path: Path) -> None:
        (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
        assert cpu_extensions(tmp_path / "cpuinfo") == extensions


class TestWheelCache:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def test_a_kept_wheel_is_not_built_again(self, tmp_path: Path) -> None:
        kept = cache_dir() / "key" / "llama_cpp_python-1.0-py3-none-any.whl"
        kept.parent.mkdir(parents=True)
        kept.touch()
        no_python = tmp_path / "no-python"
        assert built_wheel(_PACKAGE, "key", no_python, tmp_path / "log", {}) == kept

    def test_a_failed_build_leaves_nothing_behind(self, tmp_path: Path) -> None:
        offline = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HOME": str(tmp_path)}
        with pytest.raises(CommandFailed, match=r"Compiling llama-cpp-python .* failed"):
            built_wheel(_PACKAGE, "key", Path(sys.executable), tmp_path / "log", offline)
        assert list(cache_dir().iterdir()) == []


class TestProgress:
    def test_keeps_the_output_and_says_how_long_it_took(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run_logged("Working", [sys.executable, "-c", "print('[3/9] made')"], tmp_path / "logs" / "log", {})
        assert (tmp_path / "logs" / "log").read_text(encoding="utf-8") == "[3/9] made\n"
        assert "Working: done (0 s)" in capsys.readouterr().err

    def test_says_how_far_it_is(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scripts.progress._LOG_INTERVAL_S", 0.05)
        program = "import sys; print('[3/9] made', flush=True); sys.stdin.read(); import time; time.sleep(0.5)"
        run_logged("Working", [sys.executable, "-c", program], tmp_path / "log", {})
        assert "Working, step 3 of 9" in capsys.readouterr().err

    def test_a_failure_shows_the_end_and_names_the_log(self, tmp_path: Path) -> None:
        program = "import sys; sys.exit('\\n'.join([*map(str, range(100)), 'no space left']))"
        with pytest.raises(CommandFailed) as failure:
            run_logged("Working", [sys.executable, "-c", program], tmp_path / "log", {})
        text = str(failure.value)
        assert "no space left" in text
        assert "\n10\n" not in text
        assert text.endswith(f"portcullis: Working failed; the whole output is in {tmp_path / 'log'}")
