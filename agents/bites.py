"""Long work of a worker's side threads in bites: in between, the threads that records wait for have Python alone."""

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

Item = TypeVar("Item")

BITE_SECONDS: Final = 0.002


def in_bites(items: Iterable[Item]) -> Iterator[Item]:
    """The items, with a pause as long as a bite whenever one is eaten: half of the time is others'."""
    begun = time.perf_counter()
    for item in items:
        yield item
        if time.perf_counter() - begun > BITE_SECONDS:
            time.sleep(BITE_SECONDS)
            begun = time.perf_counter()
