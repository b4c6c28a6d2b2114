"""The worker's settings and its slot."""

import pytest
from pydantic import ValidationError

from agents.settings import WorkerSettings


@pytest.mark.parametrize(("host", "slot"), [("aam-worker-12", 12), ("laptop", 0), ("node-3.local", 0)])
def test_the_slot_is_the_ordinal_of_the_host_unless_it_is_set(
    host: str, slot: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    monkeypatch.delenv("AAM_WORKER_SLOT", raising=False)
    assert WorkerSettings().slot == slot
    assert WorkerSettings(worker_slot=4).slot == 4


def test_a_batch_may_not_outlive_its_transaction() -> None:
    with pytest.raises(ValidationError, match="AAM_BATCH_DEADLINE_SECONDS"):
        WorkerSettings(batch_deadline_seconds=60, transaction_timeout_seconds=60)
