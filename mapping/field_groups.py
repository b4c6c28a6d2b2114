"""Which fields of an entity belong together: the members of an object, and those that begin with the same word
(`BillingCity`, `BillingStreet`). Canonical fields do too: the members of `addresses[]`.

A city is told from one of several by what stands around it. How like a group of fields is to a group of canonical
fields, and whether another group is likelier or comes before it, are signals of each of its pairs.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from mapping.sparse_rows import Floats

FEWEST_MEMBERS: Final = 3  # of fields that begin with the same word, and of a group of canonical fields
_ALIKE: Final = 0.6  # a similarity of less says nothing
_FIRST_WORD: Final = re.compile(r"_*([A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+)\d*(?=[^a-z])")

Group = tuple[str, str]  # (the object's path, the first word)


def groups_of(paths: Sequence[str]) -> tuple[list[Group], list[str]]:
    """For each path: its group, and what it is called there."""
    stems = [_stem(path) for path in paths]
    usual = Counter((parent, word) for parent, word, _ in stems)
    found = [
        ((parent, word), name) if word and usual[parent, word] >= FEWEST_MEMBERS else ((parent, ""), last)
        for (parent, word, name), last in zip(stems, (path.rpartition(".")[2] for path in paths), strict=True)
    ]
    return [group for group, _ in found], [name for _, name in found]


def group_signals(groups: Sequence[Group], targets: Sequence[str], alike: Floats) -> dict[str, Floats]:
    """Signal → (fields, targets), 0 for canonical fields that are in no group.

    Args:
        alike: (fields, targets), how alike each pair is by itself.
    """
    signals = {name: np.zeros_like(alike) for name in ("group_rest", "group_lead", "group_first")}
    strength = np.clip(alike - _ALIKE, 0, None) / (1 - _ALIKE)
    members: dict[Group, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    for columns in _target_groups(targets):
        matched = {group: _matched(strength[np.ix_(rows, columns)]) for group, rows in members.items()}
        *_, second, best = 0.0, *sorted(matched.values())
        before = 0.0
        for group, rows in members.items():
            place = np.ix_(rows, columns)
            others = second if matched[group] == best else best
            rest = matched[group] - strength[place].max(axis=1, keepdims=True)
            signals["group_rest"][place] = np.maximum(rest, 0)
            signals["group_lead"][place] = matched[group] - others
            signals["group_first"][place] = matched[group] - before
            before = max(before, matched[group])
    return signals


def _stem(path: str) -> tuple[str, str, str]:
    parent, _, last = path.rpartition(".")
    match = _FIRST_WORD.match(last)
    return (parent, match[0].lower(), last[match.end() :]) if match else (parent, "", last)


def _target_groups(targets: Sequence[str]) -> list[list[int]]:
    columns: dict[str, list[int]] = defaultdict(list)
    for column, target in enumerate(targets):
        parent, dot, _ = target.rpartition(".")
        if dot:
            columns[parent].append(column)
    return [found for found in columns.values() if len(found) >= FEWEST_MEMBERS]


def _matched(strength: Floats) -> float:
    """How many of the canonical fields one of the fields is like."""
    best: Floats = np.zeros(strength.shape[1], np.float32)
    np.maximum.at(best, strength.argmax(axis=1), strength.max(axis=1))
    return float(best.sum())
