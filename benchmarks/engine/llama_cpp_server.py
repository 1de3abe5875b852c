"""llama-cpp-python's own server, as `python -m llama_cpp.server`, with what makes it run on this architecture."""

from benchmarks.engine.plain_llama import without_amx

if __name__ == "__main__":
    without_amx()
    from llama_cpp.server.__main__ import main

    main()
