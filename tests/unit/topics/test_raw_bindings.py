"""AAM_RAW_TOPICS: which topics it names, whose records they carry, and every way to write it wrongly."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from schemas.failures import Misconfigured
from topics.raw_bindings import Binding, RawBindings
from topics.settings import KafkaSettings

OWN = ("aam.raw.records.v1", "aam.canonical.customer.v1")


def load(tmp_path: Path, content: Any) -> RawBindings:
    path = tmp_path / "topics.yaml"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return RawBindings.load(path, own_topics=OWN)


YAML = """
# what we have
shop.public.customers: {tenant: acme, connector: shop, entity: customer, connection: shop-eu, form: debezium}
"cdc.{tenant}.public.{entity}": {tenant: "{tenant}", connector: pg, entity: "{entity}"}
"airbyte_*": {tenant: acme, connector: airbyte}
"""


def test_topics_and_patterns(tmp_path: Path) -> None:
    bindings = load(tmp_path, YAML)
    assert bindings.find("shop.public.customers") == Binding(
        tenant="acme", connector="shop", entity="customer", connection="shop-eu", form="debezium"
    )
    assert bindings.find("cdc.globex.public.order_lines") == Binding(
        tenant="globex", connector="pg", entity="order_lines"
    )
    assert bindings.find("airbyte_users.raw") == Binding(tenant="acme", connector="airbyte")
    assert bindings.find("cdc.a.b.public.x") is None
    assert bindings.find("other") is None
    assert bindings.topics == ["shop.public.customers"]
    assert bool(bindings)


def test_subscriptions_are_librdkafkas(tmp_path: Path) -> None:
    exact, *patterns = load(tmp_path, YAML).subscriptions()
    assert exact == "shop.public.customers"
    assert patterns == ["^cdc[.][A-Za-z0-9_-]+[.]public[.][A-Za-z0-9_-]+$", "^airbyte_.*$"]
    assert re.fullmatch(patterns[0], "cdc.globex.public.order_lines")


def test_exact_names_come_first_then_the_files_order(tmp_path: Path) -> None:
    bindings = load(
        tmp_path,
        {
            "a.*": {"tenant": "first", "connector": "x"},
            "a.{entity}": {"tenant": "second", "connector": "x"},
            "a.b": {"tenant": "exact", "connector": "x"},
        },
    )
    assert [getattr(bindings.find(topic), "tenant", None) for topic in ("a.b", "a.c")] == ["exact", "first"]


GOOD = {"tenant": "acme", "connector": "shop"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must be an object of topics"),
        ("[]", "must be an object of topics"),
        ("{a: [", "neither JSON nor YAML"),
        ("a: {tenant: x, connector: y}\na: {tenant: z, connector: y}", "stands there twice"),
        ({"a": None}, "must be an object|valid"),
        ({"a": {"tenant": "acme"}}, "connector: Field required"),
        ({"a": GOOD | {"from": "debezium"}}, "from: Extra"),
        ({"a": GOOD | {"form": "xml"}}, "form: Input should be 'auto'"),
        ({"a": GOOD | {"tenant": "*"}}, "tenant must be letters|not in the pattern"),
        ({"a": GOOD | {"entity": "two words"}}, "entity must be letters"),
        ({"a b": GOOD}, "is not the name of a topic"),
        ({"^a.*": GOOD}, "has characters"),
        ({"a.{entity}": GOOD | {"tenant": "{tenant}"}}, "is not in the pattern"),
        ({"a.{table}": GOOD}, "must be one of"),
        ({"a.{entity}.{entity}": GOOD}, "once"),
        ({"*": GOOD}, "a topic of AAM's or Kafka's own"),
        ({"aam.*": GOOD}, "takes in aam.raw.records.v1"),
        ({"aam.raw.records.v1": GOOD}, "own"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(Misconfigured, match=f"AAM_RAW_TOPICS.*({message})"):
        load(tmp_path, content)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="can't be read"):
        RawBindings.load(tmp_path / "none.yaml")


def test_settings_know_the_bindings(tmp_path: Path) -> None:
    path = tmp_path / "topics.json"
    path.write_text(json.dumps({"shop.{entity}": GOOD}))
    settings = KafkaSettings(raw_topics=path)
    assert settings.raw_bindings.find("shop.x") is not None
    assert not KafkaSettings().raw_bindings
    with pytest.raises(Misconfigured, match="both"):
        _ = KafkaSettings(raw_topics=path, tenant_topics={"shop.a": "acme"}).raw_bindings
