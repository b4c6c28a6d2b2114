"""What `benchmarks.connectors` measures, each in a process of its own, so that its CPU and memory are its alone.

Started as `python -m benchmarks.connectors_client JOB`, JOB being JSON with `what`; prints one line of JSON.
"""

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from pydantic import SecretStr

from agents.connection_sync import ConnectionSync, Progress, Tools
from connectors.discover_vendor import discover_vendor
from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from connectors.spec_files import load_spec
from connectors.sync import Batch, sync
from connectors.vendor import Access, Vendor
from registry.connections import Connections, NewConnection
from registry.pool import open_pool
from registry.secrets import Secrets, SecretSettings
from registry.settings import RegistrySettings
from schemas.connector_spec import ConnectorSpec
from schemas.spec_problems import parse_spec
from topics.clients import make_producer
from topics.settings import KafkaSettings

AT_ONCE: Final = 32
TENANT: Final = "bench"
MEMORY_STEPS: Final = 10
LOOK_SECONDS: Final = 0.1


class Known:
    """The sandbox's credentials."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def names(self) -> set[str]:
        return set(self._values)

    def get(self, name: str) -> str:
        return self._values[name]

    async def keep(self, name: str, value: str) -> None:
        self._values[name] = value


def main() -> None:
    job = json.loads(sys.argv[1])
    gc.set_threshold(100_000, 50, 100)  # as `aam connectors sync` does: records are trees, and none has cycles
    work = {"discover": _discover, "sync": _sync, "paging": _page}[job["what"]]
    cpu, wall = time.process_time(), time.perf_counter()
    found = asyncio.run(work(job))
    whole = {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    found = whole | found
    sys.stdout.write(json.dumps(found) + "\n")


async def _discover(job: Any) -> dict[str, Any]:
    """Every generated vendor's fields, by one page of records and its list of fields."""
    slots, book = asyncio.Semaphore(AT_ONCE), LimitBook()
    fields = 0
    async with Egress(_settings()) as egress:

        async def one(name: str, text: str) -> int:
            async with slots:
                spec = parse_spec(text)
                access = Access(TENANT, name, Known(job["credentials"]), {}, f"{job['url']}/{name}")
                found = await discover_vendor(Vendor(spec, access, egress, book, _settings()))
                assert not found.problems, found.problems
                return sum(len(entity.schema.fields) for entity in found.entities)

        with open(job["specs"], encoding="utf-8") as file:  # noqa: ASYNC230, PTH123  # before anything is measured
            specs: dict[str, str] = json.load(file)
        started = time.perf_counter()
        fields = sum(await asyncio.gather(*(one(name, text) for name, text in specs.items())))
    return {"connectors": len(specs), "fields": fields, "seconds": time.perf_counter() - started}


async def _sync(job: Any) -> dict[str, Any]:
    """Several connections at once into Kafka, with checkpoints in Postgres."""
    database = RegistrySettings(DATABASE_URL=SecretStr(job["database_url"]))  # type: ignore[call-arg]  # an alias
    kafka = KafkaSettings(KAFKA_BOOTSTRAP_SERVERS=job["kafka"], topic_prefix=job["prefix"])
    settings = SecretSettings(secret_env=(f"{TENANT}=TOKEN",))
    with open_pool(database) as pool:
        connections = Connections(pool)
        async with Egress(_settings()) as egress:
            tools = Tools(
                producer=make_producer(kafka),
                names=kafka.names,
                connections=connections,
                secrets=Secrets(pool, settings, {"TOKEN": job["credentials"]["api_key"]}),
                egress=egress,
                book=LimitBook(),
                settings=_settings(job["specs_folder"]),
            )
            names = [f"c{number}" for number in range(job["connections"])]
            for name in names:
                new = NewConnection(TENANT, name, "pipedrive", {"company": "acme"}, {"api_token": "env:TOKEN"})
                new = NewConnection(**new.__dict__ | {"base_url": f"{job['url']}/pipedrive", "entities": ["person"]})
                connections.add(new, actor="bench")
            started = time.perf_counter()
            claims = [connections.claim(TENANT, name) for name in names]
            sent: dict[str, int] = {}
            syncs = [ConnectionSync(tools, claim, on_progress=_note(sent, claim.id)) for claim in claims if claim]
            memory: dict[int, float] = {}
            watch = asyncio.create_task(_watch_memory(memory, sent, job["expected"]))
            results = await asyncio.gather(*(one.run() for one in syncs))
            seconds = time.perf_counter() - started
            watch.cancel()
    problems = [result.problems for result in results if result.problems]
    assert not problems, problems
    records = sum(sum(result.records.values()) for result in results)
    memory[records] = round(_resident_mb(), 1)
    return {"records": records, "seconds": seconds, "memory": memory}


def _note(sent: dict[str, int], connection: str) -> Progress:
    """Keeps in `sent` how many records of a connection were sent."""

    def on_progress(_entity: str, records: int, _total: int | None) -> None:
        sent[connection] = records

    return on_progress


async def _watch_memory(found: dict[int, float], sent: Mapping[str, int], expected: int) -> None:
    """Notes at every tenth of `expected`: records that were sent → resident megabytes."""
    for step in range(1, MEMORY_STEPS):
        while sum(sent.values()) < expected * step // MEMORY_STEPS:  # noqa: ASYNC110  # a look, not a signal
            await asyncio.sleep(LOOK_SECONDS)
        found[sum(sent.values())] = round(_resident_mb(), 1)


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # no file, the kernel's answer
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


async def _page(job: Any) -> dict[str, Any]:
    """One listing, read, checked and made into the bytes that would be sent."""
    spec = load_spec("pipedrive", _settings(job["specs_folder"]).specs_folder)
    async with Egress(_settings()) as egress:
        access = Access(TENANT, "p", Known(job["credentials"]), {"company": "acme"}, f"{job['url']}/pipedrive")
        vendor = Vendor(spec, access, egress, LimitBook(), _settings())
        records, cpu = 0, time.process_time()  # from here on, as the peer: its modules and source are loaded too
        async for item in sync(vendor, ["person"], {}):
            if isinstance(item, Batch):
                records += len(item.records)
            elif item.error:
                raise item.error
        used = time.process_time() - cpu
    return {"records": records, "cpu_s": used}


def _settings(specs_folder: str | None = None) -> ConnectorSettings:
    return ConnectorSettings.model_validate({"egress_allow": ("127.0.0.1:*",), "specs_folder": specs_folder})


def unlimited(spec: ConnectorSpec) -> ConnectorSpec:
    """The spec without the vendor's rate limits: they are not what is measured."""
    return spec.model_copy(update={"rate_limits": (), "rate_limit": None, "max_concurrent": 4})


if __name__ == "__main__":
    main()
