"""What the resource behind a path or a schema's name is called: `/v2/customers.json`, `users.list`, `FullCustomerDto`.

English and rough, as API authors are. Deciding which of several names an entity gets is left to `discover_openapi`.
"""

import re
from typing import Final

from connectors.api_words import WORDS

_VERSION: Final = re.compile(
    r"v?\d+([._-]\d+)*([a-z]+\d*)?|latest|stable|beta|api|rest|json|public|services|data", re.IGNORECASE
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_VERBS: Final = frozenset(WORDS["verbs"])
_AFFIXES: Final = frozenset(WORDS["schema_affixes"])
_IRREGULAR: Final = {
    "analyses": "analysis",
    "caches": "cache",
    "children": "child",
    "data": "data",
    "media": "media",
    "people": "person",
}
_UNCHANGED: Final = WORDS["unchanged_endings"]


def words(name: str) -> list[str]:
    """`FullCustomerDto` → full, customer, dto."""
    return [word.lower() for word in _WORDS.findall(name)]


def singular(word: str) -> str:
    """One of what `word` names; the word itself if it isn't plural."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith(("sses", "shes", "ches", "xes", "zzes", "tuses", "buses", "iruses")):
        return word[:-2]
    if word.endswith(_UNCHANGED) or not word.endswith("s") or len(word) < 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1]


def snake_singular(parts: list[str]) -> str:
    """Words as the name of an entity: `payment`, `intents` → payment_intent."""
    return "_".join([*parts[:-1], singular(parts[-1])]) if parts else ""


def path_segments(path: str) -> list[str]:
    """The parts of a path; parameters keep their braces."""
    return [segment for segment in path.split("/") if segment]


def path_parameters(path: str) -> list[str]:
    """The names in braces, in order."""
    return re.findall(r"\{([^{}]+)\}", path)


def ends_in_parameter(path: str) -> bool:
    """Whether the path names one thing of many: `/customers/{id}`, `/Customers({key})`, `/customers/{id}.json`."""
    segments = path_segments(path)
    return (
        bool(segments)
        and re.fullmatch(r"[^{}]*\{[^{}]+\}\)?(\.\w+)?", segments[-1]) is not None
        and (segments[-1].startswith("{") or "(" in segments[-1])
    )


def resource_of(path: str) -> list[str]:
    """The words of the resource that a path ends in, verbs, versions and parameters left out; [] if there is none."""
    for segment in reversed(path_segments(path)):
        bare = re.sub(r"\(.*\)$|\{[^{}]*\}", "", segment)
        bare = re.sub(r"\.(json|xml)$", "", bare)
        for part in reversed(re.split(r"[.:]", bare)):
            if not part or (_VERSION.fullmatch(part) and not _is_only(path, part)):
                continue
            found = _without_verbs(words(part))
            if found:
                return found
    return []


def parent_of(path: str) -> list[str]:
    """The words of the resource that the path's resource stands under."""
    segments = path_segments(path)
    own = resource_of(path)
    while segments and resource_of("/".join(segments)) == own:
        segments.pop()
    return resource_of("/".join(segments))


def entity_of_component(name: str) -> list[str]:
    """The words of what a schema describes: `com.acme.FullCustomerDto` → customer; `objs_user` → user."""
    found = words(re.split(r"[./]", name)[-1])
    while len(found) > 1 and (found[-1] in _AFFIXES or found[-1].isdigit()):
        found.pop()
    while len(found) > 1 and found[0] in _AFFIXES:
        found.pop(0)
    while len(found) > 1 and (found[-1] in _AFFIXES or found[-1].isdigit()):
        found.pop()
    return found


def core_of_component(name: str) -> tuple[str, ...]:
    """What tells two schemas apart: `issuing.card` is no `card`, but `minimal-customer` and `CustomerDto` are one."""
    found = words(name)
    return tuple(singular(word) for word in found if word not in _AFFIXES and not word.isdigit()) or tuple(found)


def _without_verbs(parts: list[str]) -> list[str]:
    kept = list(parts)
    while kept and kept[0] in _VERBS:
        kept.pop(0)
    while kept and kept[-1] in _VERBS:
        kept.pop()
    return kept


def _is_only(path: str, part: str) -> bool:
    """`/data` alone is a resource; `/data/v2/customers` has one behind it."""
    named = [s for s in path_segments(path) if "{" not in s]
    return named == [part] and not re.fullmatch(r"v?\d.*", part)
