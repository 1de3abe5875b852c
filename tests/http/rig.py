"""The application in front of real rooms: a real store, policy, intake and matcher; a scripted model and OCR."""

import asyncio
import io
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar
from PIL import Image as Pillow
from PIL import ImageDraw

from app.domain import Answer, EngineInfo, EngineJob, EngineState, Frame, Question, Status, TextFinding, TextLine
from app.engine.fake import FakeEngine, harmless, yes_no
from app.http.auth import Access, Principal, Sessions
from app.http.services import Services
from app.intake.decode import Intake
from app.intake.limits import IntakeLimits
from app.moderation.admission import Admission, AdmissionLimits
from app.moderation.collect import Signals
from app.moderation.pipeline import Deadlines, Moderator
from app.moderation.shadow import ShadowLimits, ShadowRunner
from app.policy.backtests import Backtests
from app.policy.live import LiveRuleset
from app.policy.retention_terms import RetentionTerms
from app.policy.shadow import ShadowPolicy, shadow_path
from app.review.desk import ReviewDesk
from app.signals.codes import ZxingReader
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.probes import Probes
from app.signals.scene import Scene
from app.store import (
    Database,
    LocalEvidenceStore,
    SqlArchive,
    SqlAuditLog,
    SqlCaseStore,
    SqlDecisionStore,
    SqlRetention,
    SqlRulesets,
    SqlShadow,
)
from tests.http.application import MIB, UPLOAD_BYTES, application, in_front_of

POLICY = """\
version: 1
defaults:
  on_unknown: review
  language: en
  ask: [en]
  min_mass: 0.5
  signals: {ocr: true, model_text: false, scene: true}
categories:
  violence:
    title: {en: Violence}
    severity: high
    statement: VIOLENCE
  contraband:
    title: {en: Forbidden goods}
    severity: critical
    statement: UNSAFE_AND_PROHIBITED_PRODUCTS
thresholds: {review: 0.5, reject: 0.9}
probes:
  violence:
    category: violence
    questions: {en: "Does this image show violence? Answer Yes or No."}
scores:
  violence: {max: [probes.violence.p]}
rules:
  - id: graphic-violence
    category: violence
    when: scores.violence >= thresholds.reject
    then: reject
    reason: {en: The picture shows violence.}
  - id: possible-violence
    category: violence
    when: scores.violence >= thresholds.review
    then: review
    reason: {en: The picture may show violence.}
  - id: contraband-for-sale
    category: contraband
    when: keywords.contraband.count > 0
    then: reject
    reason: {en: The text offers forbidden goods.}
"""

CONTRABAND = """\
---
category: contraband
severity: critical
languages: en, zh
---
forged documents
办假证
"""


class ThreadWorkers:
    """Runs what media workers run in a thread: here nothing needs killing."""

    async def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        return await asyncio.wait_for(asyncio.to_thread(function, *args), timeout_s)


class ScriptedReader:
    version = "scripted 1"

    def __init__(self) -> None:
        self.finding = TextFinding(status=Status.OK)

    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> TextFinding:
        return self.finding

    def says(self, *lines: str) -> None:
        self.finding = TextFinding(
            status=Status.OK,
            lines=tuple(
                TextLine(text=text, confidence=0.97, box=_box(24, 20 + 44 * number, 14 * len(text), 34))
                for number, text in enumerate(lines)
            ),
        )


def _box(x: float, y: float, width: float, height: float) -> Any:
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


class ScopedKeys:
    """One key for each scope, named after it (`key-review`), and a second one that may moderate."""

    def __init__(self) -> None:
        scopes = ("moderate", "review", "policy", "audit", "admin")
        self.tokens = {scope: secrets.token_urlsafe(32) for scope in (*scopes, "moderate-2", "review-2")}
        self._by_token = {
            token: Principal(f"key-{name}", name, frozenset({name.removesuffix("-2")}))
            for name, token in self.tokens.items()
        }

    async def find(self, token: str) -> Principal | None:
        return self._by_token.get(token)

    async def get(self, key_id: str) -> Principal | None:
        return next((one for one in self._by_token.values() if one.key_id == key_id), None)

    def withdraw(self, name: str) -> None:
        del self._by_token[self.tokens[name]]


@dataclass
class Rig:
    app: Litestar
    keys: ScopedKeys
    engine: FakeEngine
    reader: ScriptedReader
    decisions: SqlDecisionStore
    evidence: LocalEvidenceStore
    audit_log: SqlAuditLog
    desk: ReviewDesk
    ruleset: LiveRuleset
    shadow: ShadowPolicy
    comparing: ShadowRunner
    backtests: Backtests
    admission: Admission
    policy_path: Path
    database: Database
    not_ready: dict[str, str | None]
    #: What the engine's probes answer, by probe.
    p: dict[str, float]

    def client(self, key: str | None = "admin", **headers: str) -> httpx.AsyncClient:
        """A caller with the key of that name. Faults of the application are answers, as they are behind a server."""
        if key is not None:
            headers["Authorization"] = f"Bearer {self.keys.tokens[key]}"
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://portcullis.test", headers=headers)

    async def decide(self, key: str = "moderate", **fields: str) -> dict[str, Any]:
        async with self.client(key) as client:
            answer = await client.post("/v1/moderate", files={"file": ("a.png", picture())}, data=fields)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def engine_is(self, **changes: Any) -> None:
        self.engine.info = replace(self.engine.info, **changes)

    async def events(self) -> list[dict[str, Any]]:
        """Everything in the audit log after the policy's activation at the start, after sealing what waits."""
        async with self.client("audit") as client:
            while await self.audit_log.seal(limit=1000):
                pass
            page = await client.get("/v1/audit", params={"limit": 1000})
        events = [entry["event"] for entry in page.json()["entries"]]
        assert events[0]["body"]["source"] == "start"
        return events[1:]


@asynccontextmanager
async def rig(folder: Path, database: Database, *, own_application: bool = False) -> AsyncIterator[Rig]:
    """`database` is open and empty; `folder` is the rig's own. Only its own application may be changed."""
    policy_path, rules_dir = folder / "policies.yaml", folder / "rules"
    rules_dir.mkdir()
    policy_path.write_text(POLICY)
    (rules_dir / "contraband.txt").write_text(CONTRABAND)
    ruleset = LiveRuleset(policy_path, rules_dir, store=SqlRulesets(database))
    await ruleset.start()
    p: dict[str, float] = {}
    engine, reader, keys = FakeEngine(_script(p)), ScriptedReader(), ScopedKeys()
    shadow_store, matcher = SqlShadow(database), AhoCorasickMatcher()
    shadow = ShadowPolicy(shadow_path(policy_path), ruleset, store=shadow_store)
    await shadow.start()
    comparing = ShadowRunner(
        policy=lambda: shadow.current,
        store=shadow_store,
        matcher=matcher,
        probes=Probes(),
        engine=engine,
        limits=ShadowLimits(sample=0.0, engine_jobs=4),
    )
    decisions, evidence = SqlDecisionStore(database), LocalEvidenceStore(folder / "evidence")
    audit_log, desk = SqlAuditLog(database), ReviewDesk(SqlCaseStore(database), lease_s=900)
    admission = Admission(AdmissionLimits(uploads=8, upload_bytes=64 * MIB, engine_jobs=8))
    not_ready: dict[str, str | None] = {"engine": None, "store": None, "policy": None}

    async def readiness() -> Mapping[str, str | None]:
        return dict(not_ready)

    backtests = Backtests(
        SqlArchive(database), lists=lambda: ruleset.current.lists, matcher=AhoCorasickMatcher, processes=1
    )
    services = Services(
        version="1.2.3",
        access=Access(keys, Sessions(secrets.token_bytes(32))),
        moderator=Moderator(
            intake=Intake(ThreadWorkers(), IntakeLimits(max_bytes=UPLOAD_BYTES), secrets.token_bytes(32)),
            signals=Signals(
                reader=reader,
                codes=ZxingReader(ThreadWorkers()),
                matcher=matcher,
                probes=Probes(),
                scene=Scene(),
                model_text=ModelText(),
            ),
            engine=engine,
            ruleset=lambda: ruleset.current,
            decisions=decisions,
            evidence=evidence,
            admission=admission,
            deadlines=Deadlines(default_s=10, longest_s=60),
            beside=comparing,
        ),
        decisions=decisions,
        evidence=evidence,
        outbox=audit_log,
        desk=desk,
        ruleset=ruleset,
        shadow=shadow,
        shadow_store=shadow_store,
        retention=RetentionTerms(
            ruleset, SqlRetention(database), passed_if_silent=timedelta(hours=24), grace=timedelta(hours=24)
        ),
        backtests=backtests,
        audit_log=audit_log,
        engine_info=lambda: engine.info,
        readiness=readiness,
    )
    with nullcontext(application(services)) if own_application else in_front_of(services) as app:
        yield Rig(
            app=app,
            keys=keys,
            engine=engine,
            reader=reader,
            decisions=decisions,
            evidence=evidence,
            audit_log=audit_log,
            desk=desk,
            ruleset=ruleset,
            shadow=shadow,
            comparing=comparing,
            backtests=backtests,
            admission=admission,
            policy_path=policy_path,
            database=database,
            not_ready=not_ready,
            p=p,
        )
        await backtests.aclose()


def _script(p: dict[str, float]) -> Callable[[EngineJob, Question], Answer]:
    def script(job: EngineJob, question: Question) -> Answer:
        for probe, value in p.items():
            if probe in question.id:
                return yes_no(question, value)
        return harmless(job, question)

    return script


def picture(width: int = 640, height: int = 400, format_: str = "PNG", text: str = "") -> bytes:
    image = Pillow.new("RGB", (width, height), (216, 226, 236))
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.55, height * 0.3, width * 0.9, height * 0.9), fill=(196, 88, 64))
    if text:
        draw.text((24, 24), text, fill=(20, 24, 30), font_size=28)
    buffer = io.BytesIO()
    image.save(buffer, format_)
    return buffer.getvalue()


STARTING = EngineInfo(name="fake", state=EngineState.STARTING, demonstration=False, detail="loading the model")
