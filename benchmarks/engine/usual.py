"""The usual way, in a process of its own: `create_chat_completion` through `MTMDChatHandler`, a call a question.

Started by `contenders.Usual`. Reads JSON lines `{"picture": n, "questions": [[text, max_tokens], …]}` and answers
each with one line.
"""

import json
import os
import sys

from benchmarks.engine.plain_llama import without_amx
from benchmarks.engine.questions import data_url, messages, pictures


def main() -> None:
    order = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    without_amx()
    from llama_cpp import Llama  # noqa: PLC0415 - after the change above
    from llama_cpp.llama_chat_format import MTMDChatHandler  # noqa: PLC0415

    side = order["side_px"]
    urls = [data_url(rgb, side) for rgb in pictures(order["pictures"], side)]
    llama = Llama(
        model_path=order["model"],
        chat_handler=MTMDChatHandler(order["projector"], verbose=False),
        n_ctx=order["context_tokens"],
        n_batch=2048,
        n_gpu_layers=order["gpu_layers"],
        n_threads=order["threads"],
        n_threads_batch=order["threads"],
        flash_attn=True,
        verbose=False,
    )
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        tokens = 0
        for question, most in asked["questions"]:
            said = llama.create_chat_completion(
                messages=messages(urls[asked["picture"]], question), temperature=0.0, max_tokens=most
            )
            tokens += said["usage"]["completion_tokens"]
        print(tokens, file=out, flush=True)


if __name__ == "__main__":
    main()
