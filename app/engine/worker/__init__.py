"""The engine process: the only tree that imports llama_cpp. Started by `app.engine.local` as `python -m`.

It is a process of its own because llama.cpp aborts on an internal assertion, and that must cost one request a retry,
never the service. `protocol` is what the API process may import of it.
"""
