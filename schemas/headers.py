"""Names of the Kafka headers that AAM reads and writes.

What they mean to a producer stands in docs/producing.md, to a consumer in docs/consuming.md.
"""

from typing import Final

TENANT: Final = "tenant"
CONNECTOR: Final = "connector"
ENTITY: Final = "entity"
CONNECTION: Final = "connection"
OP: Final = "op"
RECORD_ID: Final = "record_id"
OBSERVED_AT: Final = "observed_at"
TRACEPARENT: Final = "traceparent"

# Where a parked record or a dead letter first stood: kept through a release or retry.
RAW_TOPIC: Final = "aam-raw-topic"
RAW_PARTITION: Final = "aam-raw-partition"
RAW_OFFSET: Final = "aam-raw-offset"
RAW_TIMESTAMP: Final = "aam-raw-timestamp"

# The Kafka Connect names (DeadLetterQueueReporter), which most tools read.
ERROR_TOPIC: Final = "__connect.errors.topic"
ERROR_PARTITION: Final = "__connect.errors.partition"
ERROR_OFFSET: Final = "__connect.errors.offset"
ERROR_STAGE: Final = "__connect.errors.stage"
ERROR_EXCEPTION: Final = "__connect.errors.exception.class.name"
ERROR_MESSAGE: Final = "__connect.errors.exception.message"
ERROR_KIND: Final = "aam-error-kind"
ERROR_ATTEMPTS: Final = "aam-error-attempts"
