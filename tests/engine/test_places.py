"""What the settings may say of GPUs and processes, and what each process then sees."""

import pytest

from app import main
from app.engine.places import Place, places, seeing_only
from app.engine.process import worker_environment
from app.errors import ConfigurationError
from app.settings import Settings


def test_without_gpus_there_are_so_many_processes_that_see_what_the_service_sees() -> None:
    assert places(None, 1, gpu_layers=-1) == (Place("process 1"),)
    assert places(None, 2, gpu_layers=0) == (Place("process 1"), Place("process 2"))


def test_each_gpu_has_a_process() -> None:
    assert places("0, 3", 1, gpu_layers=-1) == (Place("gpu 0", "0"), Place("gpu 3", "3"))
    assert len(places("0,3", 2, gpu_layers=-1)) == 2


@pytest.mark.parametrize(
    "name",
    [
        "0",
        "12",
        "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
        "GPU-8932f937",
        "GPU-deadbeefdeadbeef",
        "MIG-GPU-b7e9d1e0-6d7d-4b7c-9f1c-6b2b3c1f0a11/1/0",
        "MIG-b7e9d1e0-6d7d-4b7c-9f1c-6b2b3c1f0a11",
    ],
)
def test_what_drivers_call_a_gpu_is_taken(name: str) -> None:
    assert places(name, 1, gpu_layers=-1) == (Place(f"gpu {name}", name),)


@pytest.mark.parametrize("name", ["", "-1", "01", "1.5", "all", "cuda:0", "0;1", "GPU-", "gpu 0", "1000", "GPU-x,,1"])
def test_what_is_no_gpu_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"PORTCULLIS_ENGINE_GPUS: '.*' is no GPU"):
        places(name, 1, gpu_layers=-1)


def test_a_gpu_cannot_be_named_twice() -> None:
    with pytest.raises(ConfigurationError, match="names 1 twice"):
        places("0,1, 1", 1, gpu_layers=-1)


def test_numbers_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="names 2 and PORTCULLIS_ENGINE_PROCESSES is 3"):
        places("0,1", 3, gpu_layers=-1)


def test_gpus_without_layers_on_them_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="PORTCULLIS_ENGINE_GPU_LAYERS=0 would use none"):
        places("0,1", 1, gpu_layers=0)


def test_every_back_end_sees_the_one_gpu() -> None:
    seen = seeing_only("GPU-8932f937")

    assert seen["CUDA_VISIBLE_DEVICES"] == seen["ROCR_VISIBLE_DEVICES"] == "GPU-8932f937"
    # What is left of ROCm's is counted anew.
    assert seen["HIP_VISIBLE_DEVICES"] == "0"


def test_a_named_gpu_goes_before_what_the_service_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")

    assert worker_environment()["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert worker_environment("3").items() >= seeing_only("3").items()


def test_the_settings_reach_the_engine() -> None:
    assert main._engine_config(Settings(engine_gpus="0,1")).places == (Place("gpu 0", "0"), Place("gpu 1", "1"))
    assert len(main._engine_config(Settings(engine_processes=3)).places) == 3
    with pytest.raises(ConfigurationError, match="is no GPU"):
        main._engine_config(Settings(engine_gpus="all"))
