"""The Faust app: agents, channels, timers and supervision, with Faust's own Kafka client switched off.

Every topic is read by `agents.source` instead (docs/adr/0006-source-inside-faust.md).
"""

from pathlib import Path

import faust
from faust.app.base import BootStrategy


class ChannelsOnly(BootStrategy):
    """Starts agents and timers, but no Kafka client, no web server."""

    enable_kafka = False
    enable_web = False


class MeshApp(faust.App):
    """A Faust app that lives on channels."""

    BootStrategy = ChannelsOnly

    async def on_start(self) -> None:
        await super().on_start()
        # Faust's consumer would do this after its first assignment; without it agents never see a batch.
        self.flow_control.resume()


def build_app(name: str, *, data_dir: Path) -> MeshApp:
    """A new app. `data_dir` is where Faust may write; it keeps nothing there, as there are no tables."""
    return MeshApp(
        name,
        broker="kafka://unused",
        datadir=str(data_dir),
        web_enabled=False,
        autodiscover=False,
        stream_buffer_maxsize=1,
        # Agents write nothing through Faust: no reply topics, no leader topic.
        topic_disable_leader=True,
        topic_allow_declare=False,
    )
