"""What a soak breaks: an installation of its own in real processes, and the faults, each of which ends by itself.

Workers: slot 0 is killed and frozen, slot 1 comes and goes, slot 2 is a witness that no fault touches, so that its
memory tells something; a publisher of its own. `supervise` restarts what has ended, as an orchestrator would.
"""

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from benchmarks.ledger import CONNECTOR, ENTITY, ledger_set
from benchmarks.worker_process import WorkerProcess
from infra.kafka.broker import LocalKafka
from infra.postgres.server import LocalPostgres
from registry.mapping_store import MappingStore
from registry.migrate import migrate
from registry.pool import open_pool
from registry.settings import RegistrySettings
from topics import provision
from topics.clients import make_admin, make_producer
from topics.settings import KafkaSettings

VICTIM: Final = 0
GUEST: Final = 1
WITNESS: Final = 2
PUBLISHER: Final = 3
AGENTS: Final = {VICTIM: "canonicalize", GUEST: "canonicalize", WITNESS: "canonicalize", PUBLISHER: "publish_mappings"}
TRANSACTION_SECONDS: Final = 20
SETTINGS: Final = {
    "AAM_TRANSACTION_TIMEOUT_SECONDS": str(TRANSACTION_SECONDS),
    "AAM_BATCH_DEADLINE_SECONDS": "10",
    "AAM_SESSION_TIMEOUT_SECONDS": "6",
    "AAM_LOG_LEVEL": "WARNING",
    "AAM_CANONICAL_PARTITIONS": "10",  # a broker that comes back opens each again, and only one topic is used
}
STRANGERS: Final = 50  # records of a foreign transaction that is aborted


@dataclass
class Installation:
    """Kafka, Postgres and the workers of one soak."""

    folder: Path
    broker: LocalKafka
    postgres: LocalPostgres
    kafka: KafkaSettings
    database_url: str
    workers: dict[int, WorkerProcess] = field(default_factory=dict)
    restarts: int = 0

    @property
    def environment(self) -> dict[str, str]:
        given = {name: value for name, value in os.environ.items() if not name.startswith("AAM_")}
        addresses = {"KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers, "DATABASE_URL": self.database_url}
        return given | SETTINGS | addresses

    def start(self, slot: int) -> WorkerProcess:
        log = self.folder / f"worker-{slot}.log"
        self.workers[slot] = WorkerProcess(self.environment, log, slot=slot, agents=AGENTS[slot])
        return self.workers[slot]

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers.values():
            worker.stop()

    def supervise(self) -> None:
        """Restart workers that have ended."""
        for slot, worker in list(self.workers.items()):
            if worker.ended:
                self.restarts += 1
                self.start(slot)


Fault = Callable[[Installation, random.Random], None]


@contextmanager
def installed() -> Iterator[Installation]:
    """Everything up and ready; ends with the block, data included."""
    with ExitStack() as stack:
        # Not below a folder that Postgres' own account can't enter.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aam-soak-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        broker, postgres = LocalKafka(folder), LocalPostgres(folder)
        stack.callback(broker.stop)
        stack.callback(postgres.stop)
        address, url = broker.start().address, postgres.start().address
        assert address is not None, "it answered"
        assert url is not None, "it answered"
        layout = {"bootstrap_servers": address, "canonical_partitions": int(SETTINGS["AAM_CANONICAL_PARTITIONS"])}
        kafka = KafkaSettings().model_copy(update=layout)
        _prepare(kafka, url)
        system = Installation(folder, broker, postgres, kafka, url)
        stack.callback(system.stop)
        for slot in (PUBLISHER, VICTIM, WITNESS):
            system.start(slot)
        for worker in system.workers.values():
            worker.wait_until_ready()
        yield system


def _prepare(kafka: KafkaSettings, database_url: str) -> None:
    admin, catalogue = make_admin(kafka), kafka.catalogue()
    provision.apply(admin, catalogue, provision.plan(admin, catalogue))
    migrate(database_url)
    settings = RegistrySettings(DATABASE_URL=SecretStr(database_url))  # type: ignore[call-arg]  # an alias
    with open_pool(settings) as pool:
        MappingStore(pool).import_set(ledger_set(), method="manual", actor="soak")


def kill_worker(system: Installation, _chance: random.Random) -> None:
    """kill -9; it starts again at once."""
    system.workers[VICTIM].kill()
    system.start(VICTIM)


def freeze_worker(system: Installation, chance: random.Random) -> None:
    """SIGSTOP until Kafka has given up its transaction, then SIGCONT: a zombie that believes it still owns its work."""
    worker = system.workers[VICTIM]
    worker.signal(signal.SIGSTOP)
    time.sleep(TRANSACTION_SECONDS + chance.uniform(2, 8))
    worker.signal(signal.SIGCONT)


def second_worker(system: Installation, chance: random.Random) -> None:
    """One more worker joins; or the one that is there leaves, in good order or not."""
    guest = system.workers.pop(GUEST, None)
    if guest is None:
        system.start(GUEST)
    elif chance.random() < 0.5:
        guest.stop()
    else:
        guest.kill()


def restart_broker(system: Installation, chance: random.Random) -> None:
    """Stopped, or killed with -9, and started again after a while."""
    status = system.broker.status()
    if chance.random() < 0.5 and status.pid is not None:
        os.kill(status.pid, signal.SIGKILL)
        while system.broker.status().pid is not None:
            time.sleep(0.1)
    else:
        system.broker.stop()
    time.sleep(chance.uniform(0, 5))
    system.broker.start(say=_silent)


def stop_postgres(system: Installation, chance: random.Random) -> None:
    """Away for a while; known fields keep flowing."""
    system.postgres.stop()
    time.sleep(chance.uniform(3, 10))
    system.postgres.start(say=_silent)


def kill_publisher(system: Installation, _chance: random.Random) -> None:
    """kill -9; it starts again at once."""
    system.workers[PUBLISHER].kill()
    system.start(PUBLISHER)


def abort_foreign_transaction(system: Installation, _chance: random.Random) -> None:
    """Somebody else writes raw records and aborts: a gap in the topic that no worker may read."""
    producer = make_producer(system.kafka, transactional_id="somebody-else")
    producer.init_transactions(60)
    producer.begin_transaction()
    headers: Any = {"tenant": "tenant-00", "connector": CONNECTOR, "entity": ENTITY, "record_id": "never"}
    for _ in range(STRANGERS):
        producer.produce(system.kafka.names.raw_records, b'{"id":"never"}', b"tenant-00", headers=headers)
    producer.flush(30)
    producer.abort_transaction(60)


FAULTS: Final[dict[str, Fault]] = {
    "worker killed": kill_worker,
    "worker frozen beyond its transaction": freeze_worker,
    "second worker joins or leaves": second_worker,
    "broker restarted": restart_broker,
    "Postgres stopped": stop_postgres,
    "publisher killed": kill_publisher,
    "foreign transaction aborted": abort_foreign_transaction,
}


def _silent(_text: str) -> None:
    """The soak says what it does itself."""
