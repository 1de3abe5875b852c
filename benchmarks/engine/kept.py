"""Rounds that were measured already, in a file of JSON lines: what takes hours can be done in parts."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.engine.measure import Case, Times


class KeptRounds:
    """`settings` names everything that the seconds depend on: rounds of other settings are passed over. Without a path
    nothing is kept."""

    def __init__(self, path: Path | None, settings: str) -> None:
        self._path, self._settings = path, settings
        self._found: dict[tuple[str, str, int], dict[str, object]] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                held = json.loads(line)
                if held["settings"] == settings:
                    self._found[held["case"], held["asked"], held["round"]] = held

    def get(self, case: Case, number: int) -> Times | None:
        held = self._found.get((case.name, case.asked, number))
        return None if held is None else Times(**held["times"])  # type: ignore[arg-type]

    def put(self, case: Case, number: int, times: Times) -> None:
        if self._path is None:
            return
        held = {"settings": self._settings, "case": case.name, "asked": case.asked, "round": number}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**held, "times": asdict(times)}) + "\n")

    def lacks(self, contender: str, cases: Sequence[Case], rounds: int) -> bool:
        """Whether this contender has anything left to do."""
        mine = [case for case in cases if case.contender.name == contender]
        return any(self.get(case, number) is None for case in mine for number in range(rounds))
