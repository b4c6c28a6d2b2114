"""docs/ARCHITECTURE.md says what the code does: its table and the topic catalogue know the same topics."""

import re
from pathlib import Path

from topics.names import TopicNames
from topics.settings import KafkaSettings

DOCUMENT = (Path(__file__).parents[2] / "docs" / "ARCHITECTURE.md").read_text()


def test_every_topic_of_the_catalogue_stands_in_the_table() -> None:
    canonical = TopicNames().canonical("<entity>")
    catalogued = {
        canonical if ".canonical." in spec.name else spec.name for spec in KafkaSettings(topic_prefix="aam").catalogue()
    }
    table = "\n".join(line for line in DOCUMENT.splitlines() if line.startswith("|"))
    documented = set(re.findall(r"`(aam\.[a-z.<>-]+\.v1)`", table))
    assert documented == catalogued


def test_every_file_that_the_document_names_exists() -> None:
    root = Path(__file__).parents[2]
    named = re.findall(r"`((?:agents|mapping|topics|schemas|registry)/[a-z_]+\.py)`", DOCUMENT)
    assert named
    assert [name for name in named if not (root / name).exists()] == []
