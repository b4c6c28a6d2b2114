"""Tells names of fields from texts that only stand where a name should: sentences, orders to a machine, data.

What a stranger wrote as a name may be meant for the language model that reads it. Such a field is never mapped without
a person, whoever is sure of it.
"""

import re
from typing import Final

from mapping.path import EACH, InvalidPath, parse

LONGEST_PATH: Final = 1_000
# Stands for all further paths of a source that has too many: no path is written so.
TOO_MANY: Final = "*"
_LONGEST_STEP: Final = 64
_MOST_WORDS: Final = 8
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+")
_STEP: Final = re.compile(r"[\w $@:./\-#%()&+*]+")
# Orders to a model. One of them may be part of a real name (`system`, `instructions`), two hardly are.
_ORDERS: Final = frozenset(
    re.findall(
        r"\w+",
        """
    ignore disregard forget override bypass obey comply pretend respond reply answer output return say
    print always never must should previous prior above earlier following instruction instructions
    prompt prompts system assistant developer jailbreak unrestricted rules guidelines confidence
    probability certain approve approved auto automatically map mapped mapping maps target choose select
    pick canonical candidate correct exactly please you your now instead everything anything admin
    administrator sudo drop delete insert update union execute script alert
""",
    )
)
_MOST_ORDERS: Final = 1


def is_data(path: str) -> bool:
    """Whether `path` is too long to be anybody's name for a field."""
    return len(path) > LONGEST_PATH


def is_suspicious(path: str) -> bool:
    """Whether some step of `path` reads as a text or an order rather than as a field's name."""
    try:
        steps = [step for step in parse(path).steps if step is not EACH]
    except InvalidPath:
        return True
    return len(path) > LONGEST_PATH or any(_is_suspicious(str(step)) for step in steps) or _orders(path) > _MOST_ORDERS


def _is_suspicious(step: str) -> bool:
    if not step.strip() or len(step) > _LONGEST_STEP or not step.isprintable() or not _STEP.fullmatch(step):
        return True
    return len(_WORD.findall(step)) > _MOST_WORDS


def _orders(path: str) -> int:
    return sum(word.lower() in _ORDERS for word in _WORD.findall(path))
