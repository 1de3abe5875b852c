"""`python -m app.store.migrations "what changes"` writes the next revision from what the tables declare.

Read what it wrote before it is committed: it sees columns, not what should become of the rows.
"""

import asyncio
import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.script import ScriptDirectory

from app.store.migrate import config
from app.store.session import Database


def main(message: str) -> None:
    settings = config()
    settings.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    newest = ScriptDirectory.from_config(settings).get_current_head() or "0"
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder)}/migrated.db"
        asyncio.run(_migrated(url))
        settings.cmd_opts = Namespace(x=[f"url={url}"])
        command.revision(settings, message, autogenerate=True, rev_id=f"{int(newest) + 1:04}")


async def _migrated(url: str) -> None:
    database = Database(url)
    try:
        await database.start()
    finally:
        await database.aclose()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "changes")
