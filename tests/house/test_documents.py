"""Documents name commands, files and addresses that exist."""

import re
from pathlib import Path

import pytest
import typer.main

from app.cli import cli
from app.settings import Settings
from scripts.settings_page import PAGE, settings_page
from tests.house.tree import ROOT, documents, project_files

_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_MAKE = re.compile(r"(?<![\w./-])make ([a-z][a-z-]*)")
_PORTCULLIS = re.compile(r"(?:^|[\s`/;&|])portcullis ((?:[a-z][a-z-]*\b[ \t]*)+)", re.MULTILINE)
#: Here the first "portcullis" is the service's name.
_COMPOSE_SERVICE = re.compile(r"docker compose (?:exec|run --rm) portcullis ")
_PATH = re.compile(r"(?<![\w:/.$~{-])(?:app|docs|models|requirements|rules|scripts|tests|benchmarks|\.ci)/[\w./-]*")
_VARIABLE = re.compile(r"PORTCULLIS_[A-Z_]+")
_INSTALL = re.compile(r"apt-get install ([^`\n]*build-essential[^`\n]*)")
_LINK = re.compile(r"\]\(([^)#\s]+)")

#: Variables that only Compose reads.
_COMPOSE_VARIABLES = {"PORTCULLIS_CONFIG"}
#: Folders that appear on a machine, not in the repository.
_MADE_LATER = ("models/youtu-vl-4b",)


def code(document: Path) -> str:
    return "\n".join(_CODE.findall(document.read_text(encoding="utf-8")))


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def test_the_documents_a_newcomer_looks_for_are_there() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in project_files()}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "docs/install.md", "docs/settings.md"} <= names


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
class TestDocument:
    def test_every_make_target_exists(self, document: Path) -> None:
        assert set(_MAKE.findall(code(document))) <= make_targets()

    def test_every_portcullis_command_exists(self, document: Path) -> None:
        commands = _PORTCULLIS.findall(_COMPOSE_SERVICE.sub("", code(document)))
        assert [words for words in commands if not _is_command(words.split())] == []

    def test_every_path_exists(self, document: Path) -> None:
        named = {path.rstrip("./") for path in _PATH.findall(code(document))}
        # A pattern such as rules/*.txt ends at its star, so its folder is what must exist.
        absent = [path for path in named if not path.startswith(_MADE_LATER) and not (ROOT / path).exists()]
        assert absent == []

    def test_every_variable_exists(self, document: Path) -> None:
        settings = {f"PORTCULLIS_{name.upper()}" for name in Settings.model_fields}
        assert set(_VARIABLE.findall(document.read_text(encoding="utf-8"))) <= settings | _COMPOSE_VARIABLES | {
            "PORTCULLIS_"  # PORTCULLIS_* as a family
        }

    def test_what_to_install_is_all_that_is_needed(self, document: Path) -> None:
        for line in _INSTALL.findall(document.read_text(encoding="utf-8")):
            assert {"build-essential", "cmake", "python3-venv", "python3-dev"} <= set(line.split())

    def test_every_local_link_leads_somewhere(self, document: Path) -> None:
        links = [link for link in _LINK.findall(document.read_text(encoding="utf-8")) if "://" not in link]
        assert [link for link in links if not (document.parent / link).exists()] == []


def _is_command(words: list[str]) -> bool:
    """Whether the words begin with a whole command; what follows a command are its arguments."""
    command = typer.main.get_command(cli)
    for word in words:
        commands = getattr(command, "commands", None)
        if commands is None:
            return True
        if word not in commands:
            return False
        command = commands[word]
    return True


def test_make_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    explained = set(re.findall(r"^([a-z][a-z-]*):.*## ", makefile, re.MULTILINE))
    assert explained == make_targets()


def test_the_settings_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "run: make docs"


def test_the_settings_page_lists_every_setting_once() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert {name: page.count(f"| `PORTCULLIS_{name.upper()}` |") for name in Settings.model_fields} == dict.fromkeys(
        Settings.model_fields, 1
    )


def test_no_file_names_a_place_of_someones_machine() -> None:
    place = re.compile(rb"(?<![\w.:}*-])/(?:home|Users|work|root)/\w")
    found = []
    for path in project_files():
        content = path.read_bytes()
        if b"\0" not in content and place.search(content):
            found.append(path.relative_to(ROOT).as_posix())
    assert found == []
