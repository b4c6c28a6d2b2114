"""A Faust service whose work blocks, and so has a thread of its own: in the worker for as long as the worker lives.

What the work is, and how it goes on after an error, is the subclass's matter.
"""

import asyncio
import threading
from abc import abstractmethod

from mode import Service


class ThreadService(Service):
    """`run` is to return soon after `ending` is set; the worker's stop waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.ending = threading.Event()
        self._ended = asyncio.Event()

    @abstractmethod
    def run(self) -> None:
        """The work, off the event loop."""

    @Service.task
    async def _work(self) -> None:
        try:
            await asyncio.to_thread(self.run)
        finally:
            self._ended.set()

    async def on_stop(self) -> None:
        self.ending.set()
        await self._ended.wait()
