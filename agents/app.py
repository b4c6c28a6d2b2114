"""The Faust app: agents, channels, timers and supervision, with Faust's own Kafka client switched off.

Every topic is read by `agents.source` instead (docs/adr/0006-source-inside-faust.md).
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from mode import Service

from agents.batch import Batch
from agents.source import Channel


class ChannelsOnly(BootStrategy):
    """Starts agents and timers, but no Kafka client and no web server."""

    enable_kafka = False
    enable_web = False


class MeshApp(faust.App):
    """A Faust app that lives on channels. `services` start after its agents and stop before them."""

    BootStrategy = ChannelsOnly
    services: tuple[Service, ...] = ()

    async def on_started_init_extra_services(self) -> None:
        await super().on_started_init_extra_services()
        # Faust's consumer would do this after its first assignment; without it agents never see a batch.
        self.flow_control.resume()
        for service in self.services:
            await self.add_runtime_dependency(service)


def build_app(name: str, *, data_dir: Path) -> MeshApp:
    """A new app. `data_dir` is where Faust may write; it keeps nothing there, as there are no tables."""
    return MeshApp(
        name,
        broker="kafka://unused",
        datadir=str(data_dir),
        web_enabled=False,
        autodiscover=False,
        stream_buffer_maxsize=1,
        topic_disable_leader=True,
        topic_allow_declare=False,
    )


def add_agent(app: MeshApp, name: str, handle: Callable[[Batch], Awaitable[None]]) -> Channel:
    """An agent that gives each batch of the returned channel to `handle`, which must settle it and not raise."""
    channel: Any = app.channel()

    async def agent(batches: Any) -> None:
        async for batch in batches:
            if batch.is_open:
                await handle(batch)

    app.agent(channel, name=name)(agent)
    return cast(Channel, channel)
