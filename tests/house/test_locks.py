"""The locks are whole: hashes everywhere, no addresses, what pyproject.toml asks for, one version of each package."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts.locks import Locked, normalised, parse_lock, read_lock
from scripts.wheels import SOURCE_BUILT
from tests.house.tree import ROOT

REQUIREMENTS = ROOT / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.lock"))


def locked(name: str) -> dict[str, list[Locked]]:
    """By name. A package may be there several times, for different Pythons or platforms."""
    found: dict[str, list[Locked]] = {}
    for package in read_lock(REQUIREMENTS / f"{name}.lock"):
        found.setdefault(package.name, []).append(package)
    return found


def pins(name: str) -> set[str]:
    """Versions and markers, without hashes."""
    return {package.text.split(" --hash", 1)[0] for package in read_lock(REQUIREMENTS / f"{name}.lock")}


def asked(*groups: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    texts = [text for group in groups for text in project["dependency-groups"].get(group, [])]
    if "runtime" in groups:
        texts += project["project"]["dependencies"]
    return [Requirement(text) for text in texts]


def test_every_lock_is_there() -> None:
    names = [path.name for path in LOCKS]
    assert names == ["benchmarks.lock", "build.lock", "dev.lock", "runtime.lock", "tools.lock", "training.lock"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
class TestLock:
    def test_every_package_has_a_hash(self, path: Path) -> None:
        packages = read_lock(path)
        assert packages
        assert [package.name for package in packages if not package.hashes] == []

    def test_names_no_address_and_no_option(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert " @ " not in text
        # --hash is the only option, and never at the beginning of a line.
        assert re.findall(r"^\s*--(?!hash=)\S+|^-\S+", text, re.MULTILINE) == []


@pytest.mark.parametrize(
    ("lock", "groups"),
    [("runtime", ["runtime"]), ("dev", ["runtime", "dev"]), ("build", ["build"]), ("tools", ["tools"])],
)
def test_a_lock_holds_what_the_project_asks_for(lock: str, groups: list[str]) -> None:
    packages = locked(lock)
    for requirement in asked(*groups):
        found = packages.get(normalised(requirement.name), [])
        assert found, f"{requirement} is not in {lock}.lock; run: make lock"
        wrong = [package.version for package in found if not requirement.specifier.contains(package.version)]
        assert wrong == [], f"{requirement} in {lock}.lock; run: make lock"


def test_what_is_tested_is_what_is_served() -> None:
    assert pins("runtime") <= pins("dev")


@pytest.mark.parametrize("other", ["build", "dev"])
def test_no_lock_knows_a_version_that_is_not_served(other: str) -> None:
    served, mixed = locked("runtime"), locked(other)
    for name in served.keys() & mixed.keys():
        assert {package.version for package in mixed[name]} <= {package.version for package in served[name]}


def test_the_environment_runs_what_the_lock_says() -> None:
    wrong = {}
    for package in read_lock(REQUIREMENTS / "runtime.lock"):
        marker = Requirement(package.text.split(" --hash", 1)[0]).marker
        if (marker is None or marker.evaluate()) and version(package.name) != package.version:
            wrong[package.name] = version(package.name)
    assert wrong == {}


def test_sources_are_only_built_where_they_must_be() -> None:
    assert set(SOURCE_BUILT) <= set(locked("runtime"))


def test_a_line_that_pins_nothing_is_refused() -> None:
    for text in ("--index-url https://example.org/simple", "requests>=2", "x @ https://example.org/x.whl"):
        with pytest.raises(ValueError, match="not a pinned requirement"):
            parse_lock(text)


def test_a_requirement_over_several_lines_is_one() -> None:
    digest = "sha256:" + "0" * 64
    (package,) = parse_lock(f"Some_Name==1.0 ; python_version < '3.12' \\\n    --hash={digest}\n    # via other\n")
    assert package == Locked("some-name", "1.0", (digest,), f"Some_Name==1.0 ; python_version < '3.12' --hash={digest}")
