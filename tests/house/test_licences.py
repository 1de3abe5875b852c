"""Nothing that is served comes under a licence that would bind those who run or ship it."""

import re
from importlib.metadata import distribution

from scripts.locks import read_lock
from tests.house.tree import ROOT

#: GPL runtime libraries of compilers, whose exception lets them travel with anything.
_EXCEPTIONS = re.compile(r"[AL]?GPL-[\d.]+(?:-only|-or-later)? WITH [\w.-]+")
#: Packages under the LGPL, each with why that is fine. None so far.
_LGPL: dict[str, str] = {}


def licence(name: str) -> str:
    """What the package says of itself: the SPDX expression, or else classifiers and the old free text."""
    metadata = distribution(name).metadata
    expressions: list[str] = metadata.get_all("License-Expression", [])
    classifiers = [text for text in metadata.get_all("Classifier", []) if text.startswith("License ::")]
    # The old field may hold a name or the whole text, whose first line says enough.
    names = [text.splitlines()[0] for text in metadata.get_all("License", []) if text]
    return " ".join(expressions or [*classifiers, *names])


def runtime_packages() -> list[str]:
    return [package.name for package in read_lock(ROOT / "requirements" / "runtime.lock") if _installed(package.name)]


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except ModuleNotFoundError:
        return False
    return True


def test_no_runtime_package_is_under_the_gpl_or_agpl() -> None:
    strong = re.compile(r"(?<!L)(?:A?GPL|General Public License)")
    found = {}
    for name in runtime_packages():
        text = _EXCEPTIONS.sub("", licence(name)).replace("Lesser General Public License", "LGPL")
        if strong.search(text):
            found[name] = text
    assert found == {}


def test_every_lgpl_package_is_listed_with_its_reason() -> None:
    lesser = {name for name in runtime_packages() if re.search(r"LGPL|Lesser General Public", licence(name))}
    assert lesser == set(_LGPL)


def test_the_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_runtime_package_says_its_licence() -> None:
    assert [name for name in runtime_packages() if not licence(name)] == []
