"""Settings get into URLs as values only: they can't choose another host, path or parameter."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import ActionRequired, EgressRefused
from connectors.request_parts import page_url, put, with_query
from connectors.spec_files import load_spec, read_spec, spec_files
from connectors.templates import rebase, render, render_base, render_path
from schemas.connector_spec import ConfigVariable
from schemas.failures import Misconfigured
from schemas.spec_problems import InvalidSpec

FREE = {"sub": ConfigVariable(description="Yours.")}


@pytest.mark.parametrize("value", ["evil.example/", "a.b", "a@b", "a#", "a:1", "", "-a", "a\n", "a/../b", "%2e"])
def test_a_setting_in_a_host_stays_in_its_label(value: str) -> None:
    with pytest.raises(ActionRequired, match="no part of a host"):
        render_base("https://{sub}.vendor.example", {"sub": value}, FREE)
    assert render_base("https://{sub}.vendor.example/", {"sub": "acme-1"}, FREE) == "https://acme-1.vendor.example"


def test_a_setting_in_a_path_stays_in_its_step() -> None:
    assert render_path("/a/{x}/b?c={y}", {"x": "../?q#", "y": "1&d=2"}) == "/a/..%2F%3Fq%23/b?c=1%26d%3D2"
    for value in ("..", ".", ""):
        with pytest.raises(ActionRequired):
            render_path("/a/{x}", {"x": value})


def test_a_template_that_is_one_name_keeps_the_type() -> None:
    body = {"n": "{n}", "t": "n={n}", "l": ["{n}"], "none": "{none}"}
    assert render(body, {"n": 7, "none": None}) == {"n": 7, "t": "n=7", "l": [7], "none": None}


def test_a_name_without_a_value_is_told() -> None:
    with pytest.raises(ActionRequired, match=r"\{org\} has no value"):
        render("{org}", {})


@pytest.mark.parametrize(
    ("url", "base_url", "expected"),
    [
        ("https://api.x.example/v1/a?b=1", "http://127.0.0.1:1/x", "http://127.0.0.1:1/x/v1/a?b=1"),
        ("http://127.0.0.1:1/x/v1", "http://127.0.0.1:1/x", "http://127.0.0.1:1/x/v1"),
        ("https://api.x.example", None, "https://api.x.example"),
    ],
)
def test_rebase(url: str, base_url: str | None, expected: str) -> None:
    assert rebase(url, base_url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h.example/n?x=1", "https://h.example/n?x=1"),
        ("/api/n?x=1", "http://127.0.0.1:1/x/api/n?x=1"),
        ("/x/api/n", "http://127.0.0.1:1/x/api/n"),
        ("n?url=http://z/", "http://127.0.0.1:1/x/api/n?url=http://z/"),
    ],
)
def test_next_urls_as_vendors_write_them(url: str, expected: str) -> None:
    assert page_url("http://127.0.0.1:1/x/api", url, "http://127.0.0.1:1/x") == expected


def test_a_next_url_of_another_host_in_short_is_refused() -> None:
    with pytest.raises(EgressRefused):
        page_url("https://h.example", "//evil.example/x")


def test_query_and_body_parameters() -> None:
    query: dict[str, Any] = {"a": 2, "l": ["x", "y z"], "no": None, "yes": True}
    assert with_query("https://h/x?a=1&b=", query) == "https://h/x?b=&a=2&l=x&l=y%20z&yes=true"
    assert put({"p": {"q": 1}}, "p.cursor", "c") == {"p": {"q": 1, "cursor": "c"}}
    assert put(None, "NextToken", "c") == {"NextToken": "c"}


def test_specs_of_the_user_go_first(tmp_path: Path) -> None:
    spec = json.loads(spec_files()["stripe"].read_text()) | {"title": "Ours"}
    (tmp_path / "stripe.json").write_text(json.dumps(spec))
    assert load_spec("stripe", tmp_path).title == "Ours"
    (tmp_path / "other.json").write_text(json.dumps(spec))
    with pytest.raises(InvalidSpec, match=r"call the file stripe\.json"):
        read_spec(tmp_path / "other.json")
    with pytest.raises(Misconfigured, match=r"there is no connector nope; there are .*github"):
        load_spec("nope")


@pytest.mark.parametrize("name", spec_files())
def test_our_own_specs_are_sound(name: str) -> None:
    assert load_spec(name).entities
