"""Every metric of AAM, declared once: name, labels, meaning. Prefix `aam_`, base units, counters end in `_total`.

Labels are bounded: agents, entities and kinds are few; a tenant stands on counters only, and only the first
`TENANT_LABELS` tenants of a process get their own label, the rest share `other`. No metric carries a record's values.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

TENANT_LABELS: Final = 1000
OTHER_TENANTS: Final = "other"

RECORDS_IN: Final = Counter("aam_records_in_total", "Records whose batch has committed.", ["agent"])
EVENTS_OUT: Final = Counter("aam_events_out_total", "Canonical events committed.", ["entity"])
TENANT_EVENTS: Final = Counter("aam_tenant_events_total", "Canonical events committed, by tenant.", ["tenant"])
DEAD_LETTERS: Final = Counter(
    "aam_dead_letters_total", "Records committed as dead letters; kind `bug` asks for an alert.", ["agent", "kind"]
)
TENANT_DEAD_LETTERS: Final = Counter("aam_tenant_dead_letters_total", "Dead letters, by tenant.", ["tenant"])
RECORDS_PARKED: Final = Counter("aam_records_parked_total", "Records parked for want of a mapping set.")
RECORDS_RELEASED: Final = Counter("aam_records_released_total", "Parked records released after their set appeared.")
RECORDS_PENDING: Final = Gauge("aam_parked_records", "Parked records that wait for a mapping set.")
NOVEL_FIELDS: Final = Counter("aam_novel_fields_total", "Novel fields announced.", ["reason"])
SOURCE_SCHEMAS: Final = Counter("aam_source_schemas_total", "Schema changes read.", ["outcome"])

BATCH_SECONDS: Final = Histogram(
    "aam_batch_seconds",
    "Time of one batch, from its first record to its commit.",
    ["agent"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
BATCH_RECORDS: Final = Histogram(
    "aam_batch_records", "Records in one batch.", ["agent"], buckets=(1, 10, 100, 500, 1000, 2500, 5000, 10_000)
)
RECORD_DELAY: Final = Histogram(
    "aam_record_delay_seconds",
    "From the raw record's Kafka timestamp to the commit of its batch, oldest record of each batch.",
    ["agent"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
BATCH_FAILURES: Final = Counter("aam_batch_failures_total", "Batches aborted and replayed.", ["agent", "reason"])
CONSUMER_LAG: Final = Gauge("aam_consumer_lag_records", "Records not yet consumed.", ["agent", "topic", "partition"])
ASSIGNED_PARTITIONS: Final = Gauge("aam_assigned_partitions", "Partitions this worker reads.", ["agent"])
REBALANCES: Final = Counter("aam_rebalances_total", "Changes of the assignment.", ["agent", "change"])
WATCHDOG_EXITS: Final = Counter("aam_watchdog_exits_total", "Times the watchdog ended the process.", ["reason"])

MAPPING_EPOCH: Final = Gauge("aam_mapping_epoch", "Epoch of the mapping table in force.")
MAPPING_REVISION: Final = Gauge("aam_mapping_revision", "Revision of the mapping table in force.")
MAPPING_SETS: Final = Gauge("aam_mapping_sets", "Mapping sets in force.")
SET_FAILURES: Final = Counter("aam_mapping_set_failures_total", "Sets that could not be used.", ["stage"])
SETS_FAILING: Final = Gauge("aam_mapping_sets_failing", "Sets whose last good version is in force instead.", ["stage"])
SET_COMPILE_SECONDS: Final = Histogram("aam_mapping_set_compile_seconds", "Time to compile one set.")

PUBLISHER_LEADING: Final = Gauge("aam_publisher_leading", "1 while this worker publishes the mapping table.")
PUBLISHED_SETS: Final = Counter("aam_published_sets_total", "Mapping sets written to the mapping table.")
PUBLISHER_FAILURES: Final = Counter("aam_publisher_failures_total", "Publications that failed.", ["reason"])
PUBLISHER_LAG: Final = Gauge("aam_publisher_lag_seconds", "Age of the oldest change that is not yet published.")

CORPUS_FIELDS: Final = Gauge("aam_corpus_fields", "Known source fields that retrieval looks into, as last read.")
CALIBRATING_FIELDS: Final = Gauge(
    "aam_calibrating_fields", "Decided source fields that correct the matching model's probabilities; 0: as shipped."
)
RETRIEVAL_SECONDS: Final = Histogram(
    "aam_retrieval_seconds",
    "Time to score the new fields of one source.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
FIELDS_SCORED: Final = Counter(
    "aam_fields_scored_total", "Novel fields scored by retrieval, by what came of it.", ["outcome"]
)
FIELDS_DECIDED: Final = Counter("aam_fields_decided_total", "Fields decided.", ["method", "verdict"])
LLM_CALLS: Final = Counter("aam_llm_calls_total", "Calls of the language model, and those not made.", ["outcome"])
LLM_SECONDS: Final = Histogram(
    "aam_llm_seconds", "Time of one call, retries included.", buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
)
LLM_TOKENS: Final = Counter(
    "aam_llm_tokens_total", "Tokens, by tenant; direction `input` or `output`.", ["tenant", "direction"]
)
LLM_USD: Final = Counter("aam_llm_usd_total", "What they cost by the settings, in US dollars.", ["tenant"])

SYNC_RECORDS: Final = Counter("aam_sync_records_total", "Records read from vendors.", ["connector"])
SYNC_PROBLEMS: Final = Counter("aam_sync_problems_total", "Syncs and entities of syncs that failed.", ["kind"])
SYNCS_RUNNING: Final = Gauge("aam_syncs_running", "Connections that are being synced.")
SCANS: Final = Counter("aam_scans_total", "Scan jobs that are over.", ["urgency", "outcome"])
SCANS_RUNNING: Final = Gauge("aam_scans_running", "Vendors that are being looked at by scan jobs.")

_tenants: set[str] = set()


def tenant_label(tenant: str) -> str:
    """`tenant` itself for the first `TENANT_LABELS` tenants of this process, `other` for the rest."""
    if tenant in _tenants:
        return tenant
    if len(_tenants) >= TENANT_LABELS:
        return OTHER_TENANTS
    _tenants.add(tenant)
    return tenant
