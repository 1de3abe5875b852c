"""llama.cpp through llama-cpp-python as it comes, with one exception that it needs to run at all."""

import llama_cpp.llama_cpp as bindings

from app.engine.worker.model import repacks

_defaults = bindings.llama_model_default_params


def without_amx() -> None:
    """With AMX llama.cpp 0.3.36 aborts on Youtu-VL, and `Llama` has no argument for it. The engine has it off as well,
    so that the two are equal in this."""

    def defaults() -> bindings.llama_model_params:
        params = _defaults()
        params.use_extra_bufts = repacks()
        return params

    bindings.llama_model_default_params = defaults
