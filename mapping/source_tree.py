"""Which places of a record a mapping set reads, as a tree, and what of a record it leaves over.

A leaf that no mapping reads is *left over*: it goes to custom fields, and its path may be novel. An object or array of
which a part is read is left over in its own shape, without that part. A value that stands where the tree expected an
object or array (null, say) is *kept*: known, but still not to be lost.
"""

from collections.abc import Iterable
from typing import Any, Final

from mapping.path import EACH, MISSING, Path, quoted

_QUOTED_KEYS_KEPT: Final = 50_000


class _QuotedKeys(dict[str, str]):
    """Object key → how a path writes it. Forgets all before hostile keys fill the memory."""

    def __missing__(self, key: str) -> str:
        if len(self) >= _QUOTED_KEYS_KEPT:
            self.clear()
        text = self[key] = quoted(key)
        return text


_quoted: Final = _QuotedKeys()
_plain_keys: Final[set[str]] = set()


def is_plain(left: dict[str, Any]) -> bool:
    """Whether the keys of `left` are known to be paths as they stand."""
    return left.keys() <= _plain_keys


def requoted(left: dict[str, Any]) -> dict[str, Any]:
    """`left` with its keys as paths write them; those that need no quotes are known from now on."""
    if len(_plain_keys) >= _QUOTED_KEYS_KEPT:
        _plain_keys.clear()
    _plain_keys.update(key for key in left if _quoted[key] == key)
    return {_quoted[key]: value for key, value in left.items()}


class SourceNode:
    """One place. `read`: a mapping reads the whole value there. `fans_out`: each element makes an event of its own."""

    __slots__ = ("children", "each", "fans_out", "read")

    def __init__(self) -> None:
        self.children: dict[str, SourceNode] = {}
        self.each: SourceNode | None = None
        self.read = False
        self.fans_out = False

    def add(self, path: Path) -> "SourceNode":
        """The node of `path`, made with all above it."""
        node = self
        for step in path.steps:
            if step is EACH:
                node.each = node.each or SourceNode()
                node = node.each
            else:
                node = node.children.setdefault(str(step), SourceNode())
        return node


def build_tree(paths: Iterable[Path], fan_outs: Iterable[Path]) -> SourceNode:
    """The tree of all `paths` that a set reads; `fan_outs` are the arrays whose elements make events."""
    root = SourceNode()
    for path in paths:
        root.add(path).read = True
    for path in fan_outs:
        root.add(path).fans_out = True
    return root


def split_leftover(
    value: dict[str, Any], node: SourceNode, prefix: str, left: dict[str, Any], kept: dict[str, Any]
) -> None:
    """Puts what `node` doesn't read of the object `value` into `left`, and known oddities into `kept`, by path."""
    children = node.children
    for key, inner in value.items():
        child = children.get(key)
        path = prefix + _quoted[key]
        if child is None:
            left[path] = inner
        elif not child.read and (rest := rest_of(inner, child, path, kept)) is not MISSING:
            left[path] = rest


def rest_of(value: Any, node: SourceNode, path: str, kept: dict[str, Any]) -> Any:
    """What `node` doesn't read of the value at `path`, in the value's own shape; MISSING if nothing remains."""
    if value.__class__ is dict and value:
        return _rest_of_object(value, node, path, kept) if node.children else value
    if value.__class__ is list and node.each is not None and not (node.fans_out and not value):
        if node.fans_out:
            return MISSING
        rest = [_rest(element, node.each) for element in value]
        return MISSING if all(part is MISSING for part in rest) else [{} if p is MISSING else p for p in rest]
    kept[path] = value
    return MISSING


def _rest_of_object(value: dict[str, Any], node: SourceNode, path: str, kept: dict[str, Any]) -> Any:
    rest = value.copy()
    for key, child in node.children.items():
        inner = rest.pop(key, MISSING)
        if inner is MISSING or child.read:
            continue
        part = rest_of(inner, child, f"{path}.{_quoted[key]}", kept)
        if part is not MISSING:
            rest[key] = part
    return rest or MISSING


def _rest(value: Any, node: SourceNode) -> Any:
    """The same of one array element; there, an oddity remains where it stands."""
    if node.read:
        return MISSING
    if value.__class__ is dict and node.children:
        rest = value.copy()
        for key, child in node.children.items():
            inner = rest.pop(key, MISSING)
            if inner is not MISSING and (part := _rest(inner, child)) is not MISSING:
                rest[key] = part
        return rest or MISSING
    if value.__class__ is list and node.each is not None:
        parts = [_rest(element, node.each) for element in value]
        return MISSING if all(part is MISSING for part in parts) else [{} if p is MISSING else p for p in parts]
    return value
