"""The database and the evidence: the only room that speaks SQL."""

from app.store.archive import SqlArchive
from app.store.audit import SqlAuditLog
from app.store.cases import SqlCaseStore
from app.store.decisions import SqlDecisionStore
from app.store.evidence import LocalEvidenceStore
from app.store.retention import SqlRetention
from app.store.rulesets import SqlRulesets
from app.store.session import Database
from app.store.shadow import SqlShadow
from app.store.ticks import SqlTicks

__all__ = [
    "Database",
    "LocalEvidenceStore",
    "SqlArchive",
    "SqlAuditLog",
    "SqlCaseStore",
    "SqlDecisionStore",
    "SqlRetention",
    "SqlRulesets",
    "SqlShadow",
    "SqlTicks",
]
