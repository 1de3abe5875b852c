"""The pair of files that all processes of an engine serve."""

import asyncio

from app.engine.base import ModelFiles
from app.engine.files import CheckedFiles, check_files
from app.errors import ModelFileCorrupt


class ServedFiles:
    """Decisions are pinned to one pair, so a process whose files were replaced meanwhile must not serve beside others
    that have the old ones."""

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._checking = asyncio.Lock()
        self._in_use: dict[str, CheckedFiles] = {}
        #: By the process that began to serve last.
        self.loaded: CheckedFiles | None = None

    async def check(self) -> CheckedFiles:
        """What a process is about to load. Raises ModelFileMissing and ModelFileCorrupt."""
        # One reads the gigabytes, and the others find their digests.
        async with self._checking:
            checked = await asyncio.to_thread(check_files, self._files)
        self._require_same(checked)
        return checked

    def take_up(self, process: str, checked: CheckedFiles) -> None:
        """It has loaded them. Raises ModelFileCorrupt when it may have loaded something else."""
        if not checked.unchanged():
            raise ModelFileCorrupt(f"the files of '{self._files.name}' changed while they were loaded")
        self._require_same(checked)
        self._in_use[process] = self.loaded = checked

    def lay_down(self, process: str) -> None:
        self._in_use.pop(process, None)

    def _require_same(self, checked: CheckedFiles) -> None:
        if any(_pins(checked) != _pins(other) for other in self._in_use.values()):
            raise ModelFileCorrupt(
                f"the files of '{self._files.name}' are no longer those that the other engine processes serve: put "
                "them back, or restart the service to load the new ones"
            )


def _pins(checked: CheckedFiles) -> tuple[str, str]:
    return checked.model_digest, checked.projector_digest
