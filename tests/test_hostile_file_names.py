import json
from pathlib import Path

import pytest

from app.cli.moderate import Judged, _json_line, _report
from app.errors import NotAPicture

_NAMES = ("[red]x.png", "a\x1b[2K\x1b[31m\n.png", "\u202egnp.exe", "\udcff\udcfe.png", "名 字.png")


def _judged(name: str) -> Judged:
    return Judged(Path(name), None, NotAPicture("not a picture"))


def test_names_write_nothing_but_themselves_on_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _report([_judged(name) for name in _NAMES])
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x1b\u202e\udcff")
    for said in ("[red]x.png", "a\\x1b[2K\\x1b[31m\\n.png", "\\u202egnp.exe", "\\udcff\\udcfe.png", "名 字.png"):
        assert said in shown


def test_every_name_makes_a_line_of_json() -> None:
    for name in _NAMES:
        line = _json_line(_judged(name))
        assert "\n" not in line
        assert json.loads(line.encode())["path"] == name.replace("\udcff", "\\udcff").replace("\udcfe", "\\udcfe")
