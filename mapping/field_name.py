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
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_STEP: Final = re.compile(r"[\w $@:./\-#%()&+*]+")
# Orders to a model, in the languages that most of them are written in. One such word may be part of a real name
# (`system`, `instructions`), two hardly are.
_ORDERS: Final = frozenset(
    re.findall(
        r"\w+",
        """
        ignore disregard forget override bypass obey comply pretend respond reply answer output return say print
        always only
        never must should previous prior above earlier following instruction instructions prompt prompts system
        assistant developer jailbreak unrestricted rules guidelines confidence probability certain approve approved auto
        automatically map mapped mapping maps target choose select pick canonical candidate correct exactly please you
        your now instead everything anything admin administrator sudo drop delete insert update union execute script
        alert act sure acting restrictions safety policy reveal secret mode
        ignoriere ignorieren anweisungen vorherigen bisherigen antworte immer wähle
        ignora ignorar instrucciones anteriores responde siempre elige
        ignorez ignorer oubliez instructions consignes précédentes réponds répondez toujours choisis
        ignori istruzioni precedenti rispondi sempre
        игнорируй инструкции предыдущие ответь всегда
        """,
    )
)
_SCRIPTS: Final = re.compile(r"忽略|无视|指令|提示|無視|指示|命令|무시|지시")
_MOST_ORDERS: Final = 1


def is_data(path: str) -> bool:
    """Whether `path` is too long to be anybody's name for a field."""
    return len(path) > LONGEST_PATH


def is_suspicious(path: str) -> bool:
    """Whether some step of `path` reads as a text or an order rather than as a field's name."""
    try:
        steps = [str(step) for step in parse(path).steps if step is not EACH]
    except InvalidPath:
        return True
    return len(path) > LONGEST_PATH or any(map(_is_text, steps)) or _orders(steps) > _MOST_ORDERS


def _is_text(step: str) -> bool:
    if not step.strip() or len(step) > _LONGEST_STEP or not step.isprintable() or not _STEP.fullmatch(step):
        return True
    return len(_words(step)) > _MOST_WORDS or _SCRIPTS.search(step) is not None


def _orders(steps: list[str]) -> int:
    return sum(word in _ORDERS for step in steps for word in _words(step))


def _words(step: str) -> list[str]:
    """The words of a name in any script, camelCase taken apart, in lower case."""
    words = []
    for letters in _LETTERS.findall(step):
        start = 0
        for index in range(1, len(letters)):
            if letters[index].isupper() and letters[index - 1].islower():
                words.append(letters[start:index].lower())
                start = index
        words.append(letters[start:].lower())
    return words
