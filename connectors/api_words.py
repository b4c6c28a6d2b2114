"""The words that API authors use for pages, envelopes, identifiers and times: `connectors/api_words.json`, as data.

Names of parameters and of times are written there without case and punctuation; `bare` makes any name so.
"""

import json
import re
from importlib.resources import files
from typing import Final


def _load() -> dict[str, tuple[str, ...]]:
    lists = json.loads(files("connectors").joinpath("api_words.json").read_text(encoding="utf-8"))
    return {name: tuple(words) for name, words in lists.items()}


WORDS: Final = _load()
"""name of a list → its words, the likeliest first"""


def bare(name: str) -> str:
    """A name without case and punctuation: `page[size]`, `pageSize` and `page_size` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
