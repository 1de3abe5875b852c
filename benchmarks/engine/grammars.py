"""What holding an answer to a schema costs a token: `python -m benchmarks.engine.grammars [--model FILE]`.

Processor milliseconds, with random logits, over the vocabulary of the exact shape or of the file: where the likeliest
token fits, and where it does not. In turns with showing the grammar the whole vocabulary each time.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import llama_cpp
import numpy as np

from app.engine.schema import schema_grammar
from app.engine.worker import logs
from app.engine.worker.grammar import Grammar
from app.engine.worker.prompt import Tokenizer
from benchmarks.engine import report
from benchmarks.engine.pairs import write_pair

SCHEMAS = {
    "any text": {"type": "string", "maxLength": 200},
    "an object of two": {
        "type": "object",
        "properties": {"text": {"type": "string", "maxLength": 200}, "kind": {"enum": ["photo", "drawing"]}},
    },
}
TOKENS = 8


def timed(choose: Callable[..., int | None], *given: object) -> tuple[int | None, float]:
    began = time.process_time()
    found = choose(*given)
    return found, (time.process_time() - began) * 1000


def measure(tokenizer: Tokenizer, vocabulary: int, schema: object) -> list[tuple[float, float, float]]:
    """Of each token: the likeliest fits, it may not, the whole vocabulary is shown."""
    found, random = [], np.random.default_rng(0)
    grammar = Grammar(tokenizer, schema_grammar(json.dumps(schema)))
    for _ in range(TOKENS):
        logits = random.normal(size=vocabulary).astype(np.float32)
        token, whole_ms = timed(grammar._best, logits.copy(), logits.size)
        assert token is not None
        fitting = logits.copy()
        fitting[token] = 99.0
        _, fits_ms = timed(grammar.choose, fitting)
        _, any_ms = timed(grammar.choose, logits)
        found.append((fits_ms, any_ms, whole_ms))
        if tokenizer.ends_generation(token):
            break
        grammar.accept(token)
    grammar.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.grammars", description=__doc__)
    parser.add_argument("--model", type=Path, help="a GGUF file; only its vocabulary is read")
    given = parser.parse_args()
    logs.forward_native_logs()
    logs.only_trouble()
    with tempfile.TemporaryDirectory() as folder:
        model = given.model
        if model is None:
            model, _ = write_pair("youtu-vl-4b", Path(folder), "q8_0")
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        vocab = llama_cpp.llama_model_get_vocab(llama_cpp.llama_model_load_from_file(str(model).encode(), params))
    size = int(llama_cpp.llama_vocab_n_tokens(vocab))
    print(f"{report.facts({'vocabulary': size})}\n")
    print("| schema | token | the likeliest fits, CPU ms | random, CPU ms | whole vocabulary, CPU ms |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, schema in SCHEMAS.items():
        for number, row in enumerate(measure(Tokenizer(vocab), size, schema), 1):
            print(f"| {name} | {number} | {' | '.join(f'{ms:.1f}' for ms in row)} |", flush=True)


if __name__ == "__main__":
    main()
