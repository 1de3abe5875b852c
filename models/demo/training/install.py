"""Puts a trained pair where it ships: model files, their digests in the catalogue, the reference logits of the tests
and the learning curve. The card and its figures are written by a person who has read the evaluation."""

import hashlib
import re
import shutil
from pathlib import Path

_DEMO = Path(__file__).resolve().parent.parent
_ROOT = _DEMO.parent.parent
_PLACES = {
    "model.gguf": _DEMO / "model.gguf",
    "mmproj.gguf": _DEMO / "mmproj.gguf",
    "curve.png": _DEMO / "training" / "curve.png",
    "reference.npz": _ROOT / "tests" / "demo_model" / "reference.npz",
}


def install(run: Path) -> None:
    """`run` is the folder that `train` and `export` wrote. Raises FileNotFoundError, and then changes nothing."""
    missing = [name for name in _PLACES if not (run / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{run} lacks {', '.join(missing)}; run export first")
    for name, place in _PLACES.items():
        shutil.copyfile(run / name, place)
    catalogue = _ROOT / "models" / "catalogue.yaml"
    text = catalogue.read_text(encoding="utf-8")
    for name in ("model.gguf", "mmproj.gguf"):
        text = with_digest(text, name, (run / name).read_bytes())
    catalogue.write_text(text, encoding="utf-8")


def with_digest(catalogue: str, name: str, data: bytes) -> str:
    """The catalogue's text with the digest and size of the file `name`, comments and layout as they were."""
    entry = re.compile(rf"(name: {re.escape(name)}\n\s+sha256: )[0-9a-f]{{64}}(\n\s+bytes: )\d+")
    changed, count = entry.subn(rf"\g<1>{hashlib.sha256(data).hexdigest()}\g<2>{len(data)}", catalogue)
    if count != 1:
        raise ValueError(f"the catalogue has {count} entries of {name}, not one")
    return changed
