"""Which model the answers of one upload are of."""

from app.domain import EngineInfo
from app.moderation.ports import Engine

#: Why an answer does not count: it is of another model than those before it, and a decision is pinned to one.
MODEL_CHANGED = "model_changed"


class Witness:
    """An engine that is restarted reads its files anew, and they may be others by then: then what is answered from
    there on is not of the model that the upload's first answers, kept ones too, are of."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._first = engine.info

    @property
    def engine(self) -> EngineInfo:
        """Who gave the answers. The digests are those of now until some are known."""
        if self._first.model_digest is None:
            self._first = self._engine.info
        return self._first

    @property
    def same_model(self) -> bool:
        return _files(self.engine) == _files(self._engine.info)

    @property
    def same_life(self) -> bool:
        """Whether nothing was restarted meanwhile either: files can only change with a start."""
        return self.same_model and self.engine.restarts == self._engine.info.restarts


def _files(engine: EngineInfo) -> tuple[str | None, str | None]:
    return engine.model_digest, engine.projector_digest
