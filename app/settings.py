"""One frozen Settings, read from the environment (`PORTCULLIS_*`) once and passed down. Only `app.main` and `app.cli`
import it; rooms take the plain values they need. `docs/settings.md` is generated from this file."""

from ipaddress import ip_address
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.engine.runtime import FlashAttention, KvType

_REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PORTCULLIS_", frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    data_dir: Path = Field(
        _REPOSITORY / "var", description="Where the admin key, the SQLite database and the evidence live."
    )
    database_url: str | None = Field(
        None,
        description="`postgresql://…` or `sqlite:///…`; by default an SQLite file in the data directory.",
    )
    policy: Path = Field(_REPOSITORY / "policies.yaml", description="The policy file; watched for changes.")
    rules_dir: Path = Field(_REPOSITORY / "rules", description="The keyword lists; watched for changes.")
    log_level: str = Field("info", description="`debug`, `info`, `warning` or `error`.")
    log_json: bool = Field(False, description="Log JSON lines instead of text for people.")

    model: str = Field("demo", description="A model id of the catalogue, or the path of a GGUF file.")
    projector: Path | None = Field(
        None, description="The projector's GGUF file; needed only when the model is given by path."
    )
    catalogue: Path = Field(_REPOSITORY / "models" / "catalogue.yaml", description="The known models.")
    models_dir: Path = Field(_REPOSITORY / "models", description="Where downloaded models lie.")
    chat_form: str | None = Field(
        None,
        description="Id of the catalogue model whose chat form and words a model given by path uses; by default the "
        "form is that of the file's own chat template.",
    )
    allow_demo_model: bool = Field(
        False, description="Let the demonstration model serve outside loopback. It is not a moderator."
    )
    engine_gpu_layers: int = Field(-1, ge=-1, description="Layers on the GPU; -1 puts all there, 0 none.")
    engine_gpus: str | None = Field(
        None,
        description="GPUs with an engine process each, such as `0,1` or ids that begin with `GPU-` or `MIG-`. Unset: "
        "one process, over whatever GPUs there are. See engine.md.",
    )
    engine_processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Engine processes where no GPUs are named; each holds context and projector of its own.",
    )
    engine_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="CPU threads of an engine process; 0 takes one per core, shared among the processes, at most 8.",
    )
    engine_context_tokens: int = Field(
        8192, ge=1024, le=1_000_000, description="KV cells of the engine's context (llama.cpp's `n_ctx`)."
    )
    engine_batch_tokens: int = Field(
        2048, ge=32, le=65_536, description="Most tokens given to llama.cpp at once (`n_batch`)."
    )
    engine_ubatch_tokens: int = Field(
        512,
        ge=32,
        le=65_536,
        description="Most tokens computed at once (`n_ubatch`), also the size of a decode step: more is quicker on a "
        "GPU, takes more memory and keeps running answers waiting longer.",
    )
    engine_flash_attention: FlashAttention = Field(
        "auto", description="Flash attention; `auto` turns it on where the device can."
    )
    engine_kv_type_k: KvType = Field("f16", description="How the keys of a KV cell are stored.")
    engine_kv_type_v: KvType = Field(
        "f16",
        description="How its values are stored. Fewer bits need flash attention. Youtu-VL, whose keys and values are "
        "one, takes the same type for both.",
    )
    engine_draft_tokens: int = Field(
        7,
        ge=0,
        le=64,
        description="Most tokens of a generated answer that are guessed from earlier answers to the same question and "
        "read along in one step; `0` guesses none.",
    )
    engine_mmap: bool = Field(
        True, description="Map the model's file into memory; `false` reads it whole, for slow or networked disks."
    )
    engine_mlock: bool = Field(
        False,
        description="Forbid the system to swap the model out; needs a high enough `ulimit -l`. Weights are not "
        "laid out anew for the processor then.",
    )
    engine_hang_grace_s: float | None = Field(
        None,
        gt=0,
        le=3600,
        description="How long after a job's deadline the engine process may be silent before it counts as hung and is "
        "killed. Unset: 5 s, or three times the longest call that a measured one at the start foretells.",
    )
    engine_queue: int = Field(64, ge=1, description="Engine jobs that may wait before uploads are refused.")
    engine_url: str | None = Field(
        None,
        description="Ask the model of an OpenAI-compatible server at this address instead of loading one; "
        "`PORTCULLIS_MODEL` is not used then. See engine.md.",
    )
    engine_key: SecretStr | None = Field(None, description="Key of that server.")
    engine_model: str | None = Field(
        None, description="What that server calls the model; needed only when it serves several."
    )
    engine_model_digest: str | None = Field(
        None,
        description="`sha256:…` of the weights it serves, if you know it: calibrations are applied to their own model "
        "only. No server proves it.",
    )
    engine_ca_file: Path | None = Field(
        None, description="Certificates (PEM) to trust for that server instead of the public ones."
    )
    engine_concurrency: int = Field(16, ge=1, le=1024, description="Requests to that server at a time.")
    engine_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Longest that one request to that server may take, deadlines apart."
    )
    engine_top_logprobs: int = Field(
        20,
        ge=2,
        le=1000,
        description="How many of the likeliest first tokens that server is asked for; more answer more questions, "
        "where it allows them.",
    )

    media_workers: int = Field(2, ge=1, le=64, description="Processes that decode pictures and run OCR.")
    media_worker_memory_mb: int = Field(3072, ge=512, description="Address-space growth allowed to one media worker.")

    deadline_s: float = Field(10.0, gt=0, le=60, description="Default deadline of a decision.")
    max_deadline_s: float = Field(60.0, gt=0, le=60, description="Longest deadline that `?wait=` may ask for.")
    max_upload_mb: int = Field(20, ge=1, le=100, description="Largest upload, in MiB.")
    max_in_flight: int = Field(
        64,
        ge=1,
        description="Uploads in work at once; more are refused with 429. Each may hold 60 MB of frames. As many again, "
        "without frames, may be in work of which everything is known.",
    )
    max_in_flight_mb: int = Field(
        512,
        ge=1,
        description="Bytes of uploads in work at once, in MiB; as many again, of those of which everything is known.",
    )

    findings_cache_mb: int = Field(
        64,
        ge=0,
        le=65_536,
        description="Memory for what was found of the last pictures, in MiB, so that a repeated picture is not asked "
        "again; 0 keeps nothing.",
    )
    findings_cache_ttl_s: float = Field(
        3600.0,
        gt=0,
        le=86_400,
        description="How long what was found of a picture may be used for the next upload of it.",
    )

    early_stop_full_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of uploads that are asked everything although the policy stops early, so that there is "
        "something to compare with.",
    )
    shadow_sample: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of uploads of which probes that only a shadow policy has are asked, after all uploads.",
    )

    lease_s: int = Field(900, ge=10, description="How long a claimed review case stays with its reviewer.")
    keep_passed_hours: float = Field(
        24.0,
        ge=0,
        le=876_000,
        description="How long the picture of a passed upload is kept, where the policy does not say it.",
    )
    retention_grace_hours: float = Field(
        24.0,
        ge=0,
        le=876_000,
        description="How long pictures are still kept as a policy said, after one that keeps them for a shorter time "
        "took its place; 0 deletes them within minutes.",
    )
    seal_interval_s: float = Field(1.0, gt=0, description="How often audit entries are sealed into the chain.")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        level = value.lower()
        if level not in {"debug", "info", "warning", "error"}:
            raise ValueError("must be debug, info, warning or error")
        return level

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def database(self) -> str:
        """The URL of the database."""
        return self.database_url or f"sqlite:///{self.own_database}"

    @property
    def own_database(self) -> Path:
        """The database where no other is named."""
        return self.data_dir / "portcullis.db"
