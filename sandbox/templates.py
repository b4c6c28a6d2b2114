"""Record templates: JSON that says how a vendor's records are made, compiled to a function of a seeded `Scene`.

    "@pick open|closed"         one generator's value, with its JSON type; `@email ?0.9` is null in one of ten records
    "https://x.test/{word}"     generators inside of a text
    "edited?0.2": …             the key is there in a fifth of the records
    {"@list": [1, 3], "of": …}  an array; {"@any": […]} is one of several
    {"@case": "status", "paid": …, "*": …}  by the value of a field before it

A generator is one of `sandbox.generators`, or else a method of Faker without arguments.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sandbox.generators import GENERATORS, Scene
from schemas.failures import Misconfigured

Make = Callable[[Scene], Any]

_SHARE: Final = re.compile(r"^(.*?) ?\?(\d?\.?\d+)$", re.DOTALL)
_PIECES: Final = re.compile(r"(\{\{|\}\}|\{[^{}]+\})")


class BadTemplate(Misconfigured):
    """A record template that says nothing."""


def compile_template(template: Any) -> Make:
    """The function that makes one value of `template`. Raises BadTemplate."""
    if isinstance(template, str):
        return _text(template)
    if isinstance(template, list):
        makers = [compile_template(element) for element in template]
        return lambda scene: [make(scene) for make in makers]
    if isinstance(template, dict):
        return _object(template)
    return lambda _scene: template


def _object(template: dict[str, Any]) -> Make:
    if "@list" in template:
        return _list(template["@list"], compile_template(template["of"]))
    if "@any" in template:
        choices = [compile_template(choice) for choice in template["@any"]]
        return lambda scene: scene.random.choice(choices)(scene)
    if "@case" in template:
        cases = {key: compile_template(value) for key, value in template.items() if key != "@case"}
        return _case(template["@case"], cases)
    fields = [_field(key, value) for key, value in template.items()]

    def make(scene: Scene) -> dict[str, Any]:
        made: dict[str, Any] = {}
        scene.objects.append(made)
        for name, share, make_value in fields:
            if share == 1 or scene.random.random() < share:
                made[name] = make_value(scene)
        scene.objects.pop()
        return made

    return make


def _field(key: str, value: Any) -> tuple[str, float, Make]:
    found = _SHARE.match(key)
    name, share = (found.group(1), float(found.group(2))) if found else (key, 1.0)
    return name, share, compile_template(value)


def _list(bounds: list[int], make_element: Make) -> Make:
    least, most = bounds

    def make(scene: Scene) -> list[Any]:
        elements = []
        for _ in range(scene.random.randint(least, most)):
            with scene.somebody_else():
                elements.append(make_element(scene))
        return elements

    return make


def _case(path: str, cases: Mapping[str, Make]) -> Make:
    otherwise = cases.get("*", lambda _scene: None)

    def make(scene: Scene) -> Any:
        value = scene.look_up(path)
        word = str(value).lower() if isinstance(value, bool) or value is None else str(value)
        return cases.get(word, otherwise)(scene)

    return make


def _text(text: str) -> Make:
    if text.startswith("@"):
        found = _SHARE.match(text)
        if not found:
            return _call(text[1:])
        make, share = _call(found.group(1)[1:]), float(found.group(2))
        return lambda scene: make(scene) if scene.random.random() < share else None
    if "{" not in text:
        return lambda _scene: text
    pieces = [_piece(piece) for piece in _PIECES.split(text) if piece]
    return lambda scene: "".join(make(scene) for make in pieces)


def _piece(piece: str) -> Callable[[Scene], str]:
    if piece in ("{{", "}}") or not piece.startswith("{"):
        literal = piece[:1] if piece in ("{{", "}}") else piece
        return lambda _scene: literal
    make = _call(piece[1:-1])
    return lambda scene: str(make(scene))


def _call(call: str) -> Make:
    name, _, rest = call.partition(" ")
    if name.startswith("="):
        return lambda scene: scene.look_up(name[1:])
    build = GENERATORS.get(name)
    if build is not None:
        try:
            return build(rest)
        except (ValueError, TypeError) as error:
            raise BadTemplate(f"record template: {call!r}: {error}") from error
    if rest or name.startswith("_") or not Scene.fakes(name):
        raise BadTemplate(f"record template: no generator {name!r}")
    return lambda scene: getattr(scene.fake, name)()
