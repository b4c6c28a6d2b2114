"""Long work leaves as much time to others as it takes."""

import pytest

from agents.bites import BITE_SECONDS, in_bites


def test_a_pause_as_long_as_a_bite_follows_each(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = [0.0], list[float]()
    monkeypatch.setattr("agents.bites.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("agents.bites.time.sleep", pauses.append)
    taken = []
    for item in in_bites(range(9)):
        taken.append(item)
        now[0] += BITE_SECONDS / 2
    assert taken == list(range(9))
    assert pauses == [BITE_SECONDS] * 3, "after every third: two are not yet more than a bite"
