"""Fills in the `{names}` of a spec: in JSON, in URLs, in texts; and checks the settings of a connection first.

Values come from tenants and vendors: in a path they are percent-encoded, in a host they can't leave their label.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from rapidfuzz import fuzz, process

from connectors.errors import ActionRequired
from schemas.connector_spec import ConfigVariable, ConnectorSpec
from schemas.spec_part import VARIABLE

Variables = Mapping[str, Any]

_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


def render(value: Any, variables: Variables) -> Any:
    """`value` with every template in it filled in. One that is a single `{name}` keeps the type of its value."""
    if isinstance(value, str):
        whole = VARIABLE.fullmatch(value)
        if whole:
            return _value(whole[1], variables)
        return VARIABLE.sub(lambda found: _text(_value(found[1], variables)), value)
    if isinstance(value, dict):
        return {render_text(key, variables): render(part, variables) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [render(part, variables) for part in value]
    return value


def render_text(template: str, variables: Variables) -> str:
    """A text for a header or a form."""
    text = _text(render(template, variables))
    if _CONTROLS.search(text):
        raise ActionRequired(f"a setting or credential in {template!r} has control characters", "enter it again")
    return text


def render_path(template: str, variables: Variables) -> str:
    """Path and query of a URL; values can't add a step, a parameter or a `..`."""

    def filled(found: "re.Match[str]") -> str:
        text = _text(_value(found[1], variables))
        if text in {".", "..", ""}:
            raise ActionRequired(f"{{{found[1]}}} can't be {text!r} in a path")
        return quote(text, safe="")

    return VARIABLE.sub(filled, template)


def render_base(template: str, variables: Variables, config: Mapping[str, ConfigVariable]) -> str:
    """A base URL, without a slash at its end."""
    if template.startswith("{"):
        first = VARIABLE.match(template)
        assert first is not None
        base = _text(_value(first[1], variables)).rstrip("/")
        if urlsplit(base).scheme not in {"https", "http"}:
            raise ActionRequired(f"{{{first[1]}}} is no URL")
        return (base + render_path(template[first.end() :], variables)).rstrip("/")
    scheme, _, rest = template.partition("://")
    host, slash, path = rest.partition("/")

    def in_host(found: "re.Match[str]") -> str:
        text = _text(_value(found[1], variables))
        own = found[1] in config and config[found[1]].pattern is not None
        if not (_HOST if own else _LABEL).fullmatch(text):
            raise ActionRequired(f"setting {found[1]} is no part of a host name", "letters, digits and hyphens")
        return text

    return f"{scheme}://{VARIABLE.sub(in_host, host)}{slash}{render_path(path, variables)}".rstrip("/")


def rebase(url: str, base_url: str | None) -> str:
    """`url` with scheme and host replaced by `base_url`, which may have a path of its own: a sandbox, a proxy."""
    if base_url is None:
        return url
    if url.startswith(base_url.rstrip("/") + "/") or url == base_url:
        return url
    parts = urlsplit(url)
    return base_url.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")


def check_settings(spec: ConnectorSpec, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that `config` declares, defaults included.

    Raises:
        ActionRequired: one is missing, unknown, or doesn't match its pattern; values are not repeated.
    """
    declared = {name: variable for name, variable in spec.config.items() if not variable.secret}
    wrong = [f"{name}: unknown setting{_likely(name, declared)}" for name in settings if name not in declared]
    found: dict[str, Any] = {}
    for name, variable in declared.items():
        value = settings.get(name, variable.default)
        if value is None:
            continue
        if variable.pattern is not None and not re.fullmatch(variable.pattern, _text(value)):
            wrong.append(f"{name}: must match {variable.pattern}")
        found[name] = value
    if wrong:
        raise ActionRequired(f"settings of {spec.name}: {'; '.join(wrong)}", "change the connection's settings")
    return found


def _value(name: str, variables: Variables) -> Any:
    try:
        return variables[name]
    except KeyError:
        raise ActionRequired(f"{{{name}}} has no value", f"give the connection {name}") from None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _likely(name: str, known: Mapping[str, Any]) -> str:
    best = process.extractOne(name, sorted(known), scorer=fuzz.ratio, score_cutoff=65.0)
    return f", did you mean {best[0]}?" if best else ""
