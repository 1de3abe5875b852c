"""The admin key: made once, kept in a file that nobody else can read."""

import hmac
import os
import re
import secrets
import stat
from hashlib import sha256
from pathlib import Path

from app.errors import ConfigurationError
from app.http.auth import Principal

_ADMIN = Principal(key_id="key_admin", name="admin", scopes=frozenset({"admin"}))

#: 256 random bits: nobody guesses it, so failed attempts need no lock-out that could be turned against its owner.
_KEY_BYTES = 32
_PREFIX = "pcl_"
_KEY = re.compile(r"[\x21-\x7e]{32,200}")


def admin_key(path: Path) -> str:
    """The key in the file, made at the first start; of several processes that start at once, one makes it.

    Raises ConfigurationError when others can read the file, or when what is in it is not a key.
    """
    if not path.exists():
        _make(path)
    return _load(path)


def _make(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(draft)
        try:
            # A link appears whole or not at all, so no other process ever reads half a key.
            os.link(draft, path)
        except FileExistsError:
            return
        finally:
            draft.unlink()
    except OSError as error:
        raise ConfigurationError(f"the admin key {path} could not be written: {error.strerror}") from error


def _write(draft: Path) -> None:
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"{_PREFIX}{secrets.token_urlsafe(_KEY_BYTES)}\n")
        file.flush()
        os.fsync(file.fileno())


def _load(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the admin key {path} could not be read") from error
    if mode & 0o077:
        raise ConfigurationError(
            f"others can read the admin key {path} (mode {mode:03o}). If nobody has: chmod 600 {path}. "
            "If somebody may have: delete it, and a new one is made at the next start"
        )
    if not _KEY.fullmatch(key):
        raise ConfigurationError(f"{path} holds no admin key (one line, 32 to 200 visible ASCII characters)")
    return key


def session_secret(key: str) -> bytes:
    """What console sessions are signed with. It follows from the key, so that a new key ends every session."""
    return hmac.digest(key.encode(), b"portcullis console sessions 1", "sha256")


class FileKeyRing:
    """The admin key alone, kept as a digest."""

    def __init__(self, key: str) -> None:
        self._digest = sha256(key.encode()).digest()

    async def find(self, token: str) -> Principal | None:
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        return _ADMIN if hmac.compare_digest(digest, self._digest) else None

    async def get(self, key_id: str) -> Principal | None:
        return _ADMIN if key_id == _ADMIN.key_id else None
