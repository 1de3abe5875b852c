"""Every error of Portcullis, each with a stable code. HTTP status codes are assigned in `app.http.problems` alone.

PortcullisError
├── UploadError                  the upload is not something that can be moderated
│   ├── EmptyUpload              empty_upload
│   ├── UploadTooLarge           upload_too_large
│   ├── NotAPicture              not_a_picture
│   ├── UnsupportedFormat        unsupported_format
│   ├── TruncatedPicture         truncated_picture
│   ├── PictureTooLarge          picture_too_large
│   ├── PictureTooSmall          picture_too_small
│   └── DecodeFailed             decode_failed
├── MalformedRequest             malformed_request
├── Unavailable                  refused before acceptance; `retry_after_s` says when to come back
│   ├── QueueFull                queue_full
│   └── NotReady                 not_ready
├── EngineError
│   ├── EngineUnavailable        engine_unavailable
│   ├── EngineCrashed            engine_crash
│   ├── GpuMissing               gpu_missing
│   ├── ModelUnsupported         model_unsupported
│   ├── ProjectorMismatch        projector_mismatch
│   ├── ChatTemplateUnusable     chat_template_unusable
│   ├── ModelFileMissing         model_file_missing
│   ├── ModelFileCorrupt         model_file_corrupt
│   ├── TooLittleMemory          too_little_memory
│   ├── SchemaUnsupported        schema_unsupported
│   └── NoQuestions              no_questions
├── WorkerError                  a media worker
│   ├── WorkersNotRunning        workers_not_running
│   ├── WorkerCrashed            worker_crash
│   └── WorkerTimeout            worker_timeout
├── PolicyInvalid                policy_invalid; carries every problem with file, line and column
├── PolicyTestsFailed            policy_tests_failed; the same, of what the policy does otherwise than expected
├── PolicyConflict               policy_conflict; carries the digest in force and a diff
├── PreconditionRequired         precondition_required
├── CaseError
│   ├── CaseNotClaimable         case_not_claimable
│   ├── LeaseLost                lease_lost
│   └── CaseConflict             case_conflict
├── NotFound                     not_found
├── IdempotencyConflict          idempotency_conflict
├── AccessError
│   ├── Unauthenticated          unauthenticated
│   └── Forbidden                forbidden
├── AuditBroken                  audit_broken
├── StoreUnavailable             store_unavailable
└── ConfigurationError           configuration_error
"""

import unicodedata
from dataclasses import dataclass
from functools import partial


class PortcullisError(Exception):
    """Base of the tree. `str(error)` is a sentence for people; `code` is stable and for programs."""

    code = "internal_error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class UploadError(PortcullisError):
    code = "upload_error"


class EmptyUpload(UploadError):
    code = "empty_upload"


class UploadTooLarge(UploadError):
    code = "upload_too_large"


class NotAPicture(UploadError):
    code = "not_a_picture"


class UnsupportedFormat(UploadError):
    code = "unsupported_format"


class TruncatedPicture(UploadError):
    code = "truncated_picture"


class PictureTooLarge(UploadError):
    code = "picture_too_large"


class PictureTooSmall(UploadError):
    code = "picture_too_small"


class DecodeFailed(UploadError):
    code = "decode_failed"


class MalformedRequest(PortcullisError):
    """`field` is the dotted name of the field that is wrong, if it is one."""

    code = "malformed_request"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.field = field


class Unavailable(PortcullisError):
    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class QueueFull(Unavailable):
    code = "queue_full"


class NotReady(Unavailable):
    code = "not_ready"


class EngineError(PortcullisError):
    code = "engine_error"


class EngineUnavailable(EngineError):
    code = "engine_unavailable"


class EngineCrashed(EngineError):
    """`cause` is one of a few words that deaths of the process are counted by."""

    code = "engine_crash"

    def __init__(self, detail: str, *, cause: str) -> None:
        super().__init__(detail)
        self.cause = cause

    def __reduce__(self) -> tuple[partial["EngineCrashed"], tuple[str]]:
        return partial(type(self), cause=self.cause), (self.detail,)


class GpuMissing(EngineError):
    """The GPU that a process was to have is not there, or llama.cpp was not built for it."""

    code = "gpu_missing"


class ModelUnsupported(EngineError):
    """The files are sound, but what they hold cannot be served."""

    code = "model_unsupported"


class ProjectorMismatch(EngineError):
    code = "projector_mismatch"


class ChatTemplateUnusable(EngineError):
    code = "chat_template_unusable"


class ModelFileMissing(EngineError):
    code = "model_file_missing"


class ModelFileCorrupt(EngineError):
    code = "model_file_corrupt"


class TooLittleMemory(EngineError):
    code = "too_little_memory"


class SchemaUnsupported(EngineError):
    """The schema of a generated answer is none, or of a part of the language that is not taken."""

    code = "schema_unsupported"


class NoQuestions(EngineError):
    """A job asks nothing, so there is nothing to answer."""

    code = "no_questions"


#: Nothing changes until somebody changes the files or the settings.
UNSERVABLE = (
    GpuMissing,
    ModelUnsupported,
    ProjectorMismatch,
    ChatTemplateUnusable,
    ModelFileMissing,
    ModelFileCorrupt,
    TooLittleMemory,
)


class WorkerError(PortcullisError):
    code = "worker_error"


class WorkersNotRunning(WorkerError):
    """They are being started or stopped, or could not be started: the call itself has no part in it."""

    code = "workers_not_running"


class WorkerCrashed(WorkerError):
    code = "worker_crash"


class WorkerTimeout(WorkerError):
    """`ran_s` is how long the call itself ran; 0 when it only waited for a free worker."""

    code = "worker_timeout"

    def __init__(self, detail: str, *, ran_s: float = 0.0) -> None:
        super().__init__(detail)
        self.ran_s = ran_s


#: Of a line that is longer, the part around the mistake is shown.
_SHOWN_COLUMNS = 160


def _visible(text: str) -> str:
    """What steers a terminal, or turns the direction of reading, is replaced: anybody may have written the text."""
    return "".join("\ufffd" if unicodedata.category(char) in ("Cc", "Cf") and char != "\t" else char for char in text)


def _blank(char: str) -> str:
    """As wide as the character, so that a caret comes to stand below what it means."""
    if char == "\t":
        return char
    return "\u3000" if unicodedata.east_asian_width(char) in ("W", "F") else " "


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing wrong in a policy or list file. `line` and `column` count from 1; `source_line` is the text there."""

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None
    source_line: str | None = None

    @property
    def excerpt(self) -> tuple[str, ...]:
        """The line, or the part of a long one around the mistake, and a caret below it; nothing without a line."""
        if self.source_line is None:
            return ()
        before = max(0, self.column - 1 - _SHOWN_COLUMNS // 2) if len(self.source_line) > _SHOWN_COLUMNS else 0
        shown = _visible(self.source_line[before : before + _SHOWN_COLUMNS])
        return shown, "".join(map(_blank, shown[: self.column - 1 - before].ljust(self.column - 1 - before))) + "^"

    def render(self) -> str:
        """File, line, column and message; then the line itself with a caret, and the hint."""
        parts = [_visible(f"{self.file}:{self.line}:{self.column}: {self.message}")]
        parts += [f"    {line}" for line in self.excerpt]
        if self.hint is not None:
            parts.append(f"    hint: {_visible(self.hint)}")
        return "\n".join(parts)


class PolicyInvalid(PortcullisError):
    code = "policy_invalid"

    def __init__(self, problems: tuple[PolicyProblem, ...]) -> None:
        super().__init__("\n".join(problem.render() for problem in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type["PolicyInvalid"], tuple[tuple[PolicyProblem, ...]]]:
        return type(self), (self.problems,)


class PolicyTestsFailed(PortcullisError):
    code = "policy_tests_failed"

    def __init__(self, problems: tuple[PolicyProblem, ...]) -> None:
        super().__init__("\n".join(problem.render() for problem in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type["PolicyTestsFailed"], tuple[tuple[PolicyProblem, ...]]]:
        return type(self), (self.problems,)


class PolicyConflict(PortcullisError):
    """Another edit was faster. `current` is the digest of the policy in force, `diff` (unified) leads to it from the
    one that the edit began with."""

    code = "policy_conflict"

    def __init__(self, detail: str, *, current: str | None = None, diff: str | None = None) -> None:
        super().__init__(detail)
        self.current = current
        self.diff = diff


class PreconditionRequired(PortcullisError):
    code = "precondition_required"


class CaseError(PortcullisError):
    code = "case_error"


class CaseNotClaimable(CaseError):
    code = "case_not_claimable"


class LeaseLost(CaseError):
    code = "lease_lost"


class CaseConflict(CaseError):
    code = "case_conflict"


class NotFound(PortcullisError):
    code = "not_found"


class IdempotencyConflict(PortcullisError):
    code = "idempotency_conflict"


class AccessError(PortcullisError):
    code = "access_error"


class Unauthenticated(AccessError):
    code = "unauthenticated"


class Forbidden(AccessError):
    code = "forbidden"


class AuditBroken(PortcullisError):
    code = "audit_broken"


class StoreUnavailable(PortcullisError):
    code = "store_unavailable"


class ConfigurationError(PortcullisError):
    code = "configuration_error"
