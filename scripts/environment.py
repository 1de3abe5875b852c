"""Makes `.venv` what the locks say, and does nothing when it already is: `python -m scripts.environment runtime|dev`.

`runtime` is what serving needs, `dev` adds what the tests need. Every package is checked against the hashes in
`requirements/`; build tools too, since pip would fetch them unchecked for isolated builds.
"""

import argparse
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.locks import Locked, normalised, read_lock
from scripts.progress import CommandFailed, run_logged
from scripts.wheels import BUILD_VARIABLES, SOURCE_BUILT, build_key, built_wheel

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOGS = ROOT / "var" / "setup"
#: What the environment was last made from; absent or different means work to do.
STAMP = VENV / "portcullis-setup.json"

MIN_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an environment should be. `digests` names each profile's whole input, `wheels` each source build."""

    digests: Mapping[str, str]
    wheels: Mapping[str, str]
    variables: Mapping[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.environment", description=__doc__)
    parser.add_argument("profile", choices=["runtime", "dev"])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 0 where nothing is to be done")
    parser.add_argument("--prune", action="store_true", help="take the build tools out again (for images)")
    chosen = parser.parse_args(arguments)
    if chosen.check:
        return 0 if up_to_date(chosen.profile) else 1
    try:
        with _one_at_a_time():
            set_up(chosen.profile)
            if chosen.prune:
                prune_build_tools()
    except CommandFailed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nportcullis: set-up interrupted; run it again to go on\n")
        return 130
    return 0


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two set-ups of one tree would undo each other's work: the second waits, then finds nothing to do."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def up_to_date(profile: str) -> bool:
    stamp, python_tag = read_stamp(), _python_tag()
    return python_tag is not None and is_current(profile, stamp, make_plan(python_tag, stamp))


def set_up(profile: str) -> None:
    """Raises CommandFailed."""
    if up_to_date(profile):
        return
    stamp, python_tag = read_stamp(), _python_tag()
    if python_tag is None:
        # clear=True: what a broken environment still holds was installed for another interpreter.
        venv.create(VENV, clear=True, symlinks=True, with_pip=True)
        stamp = {}
        python_tag = _python_tag()
        if python_tag is None:
            raise CommandFailed(f"portcullis: the new environment in {VENV} does not run")
    plan = make_plan(python_tag, stamp)
    _install(profile, plan, stamp)


def read_stamp() -> dict[str, object]:
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_current(profile: str, stamp: Mapping[str, object], plan: Plan) -> bool:
    installed = stamp.get("digests")
    # The dev lock holds the runtime lock, so a development environment serves as well.
    return isinstance(installed, dict) and any(installed.get(name) == plan.digests[name] for name in {profile, "dev"})


def make_plan(python_tag: str, stamp: Mapping[str, object]) -> Plan:
    """Build variables that are not set now keep what they were, so that `make run` after
    `CMAKE_ARGS=-DGGML_CUDA=on make run` does not quietly go back to the CPU; an empty one resets."""
    recorded = stamp.get("variables")
    before = recorded if isinstance(recorded, dict) else {}
    variables = {name: os.environ.get(name, str(before.get(name, ""))) for name in BUILD_VARIABLES}
    wheels = {
        package.name: build_key(package, variables, python_tag)
        for package in read_lock(REQUIREMENTS / "runtime.lock")
        if package.name in SOURCE_BUILT
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    common = [python_tag, str(ROOT), wheels, project["build-system"], project["project"]]
    locks = {"runtime": ("build", "runtime"), "dev": ("build", "runtime", "dev")}
    digests = {profile: _digest([*common, *map(_lock_digest, names)]) for profile, names in locks.items()}
    return Plan(digests, wheels, variables)


def _lock_digest(name: str) -> str:
    return hashlib.sha256((REQUIREMENTS / f"{name}.lock").read_bytes()).hexdigest()


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _python_tag() -> str | None:
    """The environment's interpreter, like "cpython-311"; None where it is missing, broken, too old or without pip."""
    code = "import sys, importlib.util as i; i.find_spec('pip').name"
    code += "; print(sys.implementation.cache_tag, *sys.version_info[:2])"
    try:
        answer = subprocess.run([PYTHON, "-I", "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    tag, major, minor = answer.stdout.split()
    return tag if (int(major), int(minor)) >= MIN_PYTHON else None


def _install(profile: str, plan: Plan, stamp: Mapping[str, object]) -> None:
    recorded, before = stamp.get("wheels"), stamp.get("variables")
    wheels = dict(recorded) if isinstance(recorded, dict) else {}
    variables = dict(before) if isinstance(before, dict) else {}
    # Until all is done nothing is current, but what was chosen and compiled stays known.
    _write_stamp({}, wheels, variables)
    environment = _pip_environment(plan.variables)
    packages = read_lock(REQUIREMENTS / f"{profile}.lock")
    _pip_install("Installing build tools", "build", read_lock(REQUIREMENTS / "build.lock"), environment)
    ready_made = [package for package in packages if package.name not in SOURCE_BUILT]
    _pip_install(f"Installing {len(ready_made)} packages", profile, ready_made, environment)

    for package in packages:
        key = plan.wheels.get(package.name)
        if key is not None and wheels.get(package.name) != key:
            wheel = built_wheel(package, key, PYTHON, LOGS / f"{package.name}.log", environment)
            # Forgotten first: an interrupted exchange leaves neither the old one nor the new one whole.
            wheels.pop(package.name, None)
            _write_stamp({}, wheels, variables)
            command = [*_pip("install"), "--no-index", "--no-deps", "--force-reinstall", wheel]
            run_logged(f"Installing {package.name}", command, LOGS / f"{package.name}-install.log", environment)
            wheels[package.name] = key

    command = [*_pip("install"), "--no-index", "--no-deps", "--no-build-isolation", "--editable", ROOT]
    run_logged("Installing portcullis itself", command, LOGS / "portcullis.log", environment)
    _write_stamp({name: plan.digests[name] for name in {profile, "runtime"}}, wheels, plan.variables)


def _write_stamp(digests: Mapping[str, str], wheels: Mapping[str, str], variables: Mapping[str, str]) -> None:
    stamp = {"digests": digests, "wheels": wheels, "variables": variables}
    STAMP.write_text(json.dumps(stamp, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _pip(*arguments: str) -> list[str | Path]:
    return [PYTHON, "-m", "pip", *arguments]


def _pip_environment(variables: Mapping[str, str]) -> dict[str, str]:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    # ninja comes from the build lock and is found by name.
    environment["PATH"] = f"{VENV / 'bin'}{os.pathsep}{environment.get('PATH', os.defpath)}"
    for name, value in variables.items():
        environment.pop(name, None)
        if value:
            environment[name] = value
    return environment


def _pip_install(label: str, log: str, packages: Sequence[Locked], environment: Mapping[str, str]) -> None:
    """Wheels only: a source distribution would bring build requirements that no lock checks."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as requirements:
        requirements.write("".join(f"{package.text}\n" for package in packages))
        requirements.flush()
        command = [*_pip("install"), "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        run_logged(label, [*command, "--requirement", requirements.name], LOGS / f"{log}.log", environment)


def prune_build_tools() -> None:
    """Takes out what only builds needed; the environment serves on, but can build nothing more."""
    needed = {package.name for package in read_lock(REQUIREMENTS / "runtime.lock")}
    tools = [p.name for p in read_lock(REQUIREMENTS / "build.lock") if normalised(p.name) not in needed]
    command = [*_pip("uninstall"), "--yes", *tools]
    run_logged("Removing build tools", command, LOGS / "prune.log", dict(os.environ))


if __name__ == "__main__":
    sys.exit(main())
