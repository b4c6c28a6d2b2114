"""Takes off what a vendor writes before all names of an entity (`qp_email`, `qp_state`), which says nothing."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

FEWEST_FIELDS: Final = 6
LEAST_SHARE: Final = 0.6
_FIRST_WORD: Final = re.compile(r"([A-Za-z][a-z]*|[A-Z]+)(?:[_\- ]|(?=[A-Z]))(?=.)")


def without_shared_prefix(paths: Sequence[str]) -> list[str]:
    """`paths`, in their order, each last step without the first word that most of them begin with, if most do."""
    last = [path.rpartition(".") for path in paths]
    found = [_FIRST_WORD.match(name) for _, _, name in last]
    words = Counter(match[1].lower() for match in found if match)
    word, count = words.most_common(1)[0] if words else ("", 0)
    if len(paths) < FEWEST_FIELDS or count < LEAST_SHARE * len(paths):
        return list(paths)
    return [
        f"{head}{dot}{name[match.end() :]}" if match and match[1].lower() == word else path
        for path, (head, dot, name), match in zip(paths, last, found, strict=True)
    ]
