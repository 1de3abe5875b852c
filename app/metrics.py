"""What is counted and timed. Labels take few values: outcomes, stages, statuses, never ids."""

from prometheus_client import Counter, Gauge, Histogram

#: From a cache hit to the longest deadline a caller may ask for, in seconds.
_STAGE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

DECISIONS = Counter("portcullis_decisions", "Decisions made", ["outcome", "degraded"])
REFUSED_UPLOADS = Counter("portcullis_refused_uploads", "Uploads refused before a decision", ["code"])
STAGE_SECONDS = Histogram(
    "portcullis_stage_seconds", "Time spent in each stage of a decision", ["stage"], buckets=_STAGE_BUCKETS_S
)
FINDINGS = Counter("portcullis_findings", "Findings by signal and status", ["signal", "status"])
FINDINGS_ASKED = Counter(
    "portcullis_findings_asked",
    "What had to be known of a picture, by how it came to be: asked anew, kept from before, or shared with an upload "
    "that was asking already",
    ["signal", "from"],
)
FINDINGS_CACHE_BYTES = Gauge("portcullis_findings_cache_bytes", "Memory that cached findings take")
FINDINGS_CACHE_PICTURES = Gauge("portcullis_findings_cache_pictures", "Pictures that findings are cached of")
UPLOADS_IN_FLIGHT = Gauge("portcullis_uploads_in_flight", "Uploads accepted and not yet answered")
ENGINE_QUEUE_DEPTH = Gauge("portcullis_engine_queue_depth", "Engine jobs waiting or running")
ENGINE_DEATHS = Counter("portcullis_engine_deaths", "Engine processes that died or were killed, by cause", ["cause"])
ENGINE_QUARANTINED = Gauge(
    "portcullis_engine_quarantined", "Pictures kept out because the engine process died over them twice"
)
ENGINE_PROCESSES_READY = Gauge("portcullis_engine_processes_ready", "Engine processes that answer")
ENGINE_RESTARTS = Counter("portcullis_engine_restarts", "Times an engine process was started again after it died")
ENGINE_DRAFT_TOKENS = Counter(
    "portcullis_engine_draft_tokens",
    "Tokens of answers that were guessed and read along, by whether the model then said them",
    ["said"],
)
ENGINE_LOST = Counter("portcullis_engine_lost", "Times a remote engine was given up until it answers again")
ENGINE_REQUESTS = Counter("portcullis_engine_requests", "Requests to a remote engine by how they ended", ["result"])
ENGINE_SPARED_REQUESTS = Counter(
    "portcullis_engine_spared_requests",
    "Questions that a remote engine was not asked because it answers nothing about their picture or text",
)
ENGINE_PROMPT_TOKENS = Counter(
    "portcullis_engine_prompt_tokens",
    "Prompt tokens of a remote engine that says so, by whether it had them in its cache",
    ["cached"],
)
ENGINE_READY = Gauge("portcullis_engine_ready", "1 when the engine answers")
WORKER_KILLS = Counter("portcullis_worker_kills", "Media workers lost", ["cause"])
REVIEW_CASES = Gauge("portcullis_review_cases", "Review cases by state", ["state"])
POLICY_ACTIVATIONS = Counter("portcullis_policy_activations", "Ruleset activations by result", ["result"])
SHADOW_COMPARISONS = Counter(
    "portcullis_shadow_comparisons",
    "Decisions beside what is tried, by what that is and what came of it",
    ["tried", "result"],
)
SHADOW_LEFT = Counter(
    "portcullis_shadow_left",
    "Decisions that were not compared (failed, no_room, not_recorded), or only without the shadow policy's own probes "
    "although they were in the sample (not_asked, model_changed)",
    ["why"],
)
AUDIT_SEALED = Counter("portcullis_audit_sealed", "Audit entries sealed into the chain")
AUDIT_PENDING = Gauge("portcullis_audit_pending", "Audit entries waiting to be sealed")
HTTP_REQUESTS = Counter("portcullis_http_requests", "Requests answered", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "portcullis_http_seconds",
    "Time from a request's first byte to its answer's last",
    ["route"],
    buckets=_STAGE_BUCKETS_S,
)
