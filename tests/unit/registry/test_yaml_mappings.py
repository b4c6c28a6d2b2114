"""Mapping files: what is taken, and what is refused with its line and a way out."""

import time
from pathlib import Path

import pytest
import yaml

from mapping.mapping_set import Mapping, Transform
from mapping.transforms import InvalidTransform, build_step
from registry.yaml_document import DEEPEST, UnreadableYaml, read_document
from registry.yaml_form import schema_text
from registry.yaml_mappings import read_mappings
from schemas.canonical_model import FieldKind

DOCS = Path(__file__).parents[3] / "docs"

HEAD = """connector: crm
entities:
  Account:
    canonical_entity: account
    fields:
"""


def fields(*lines: str) -> str:
    return HEAD + "".join(f"      {line}\n" for line in lines)


def test_a_file_gives_its_sets() -> None:
    read = read_mappings(
        """
connector: crm
tenant: acme
entities:
  Account:
    canonical_entity: account
    primary_key: [Id]
    ignored: [attributes]
    fields:
      Name: name
      Revenue: {canonical: annual_revenue, transform: number, confidence: 0.9, status: provisional}
      Owner: [owner_id, customer.display_name]
      City: addresses[].city
      Cents: {canonical: customer.balance, transform: minor_units, inputs: [Currency], fallbacks: [Other]}
      no: {canonical: lifecycle_stage, transform: enum, params: {values: {no: never, 1: once}}}
    constants:
      customer.currency: EUR
"""
    )
    assert (read.connector, read.tenant, read.refused) == ("crm", "acme", ())
    (found,) = read.sets
    assert found.key == ("acme", "crm", "Account")
    assert (found.primary_key, found.ignored) == (("Id",), ("attributes",))
    by_target = {".".join(m.target): m for m in found.mappings}
    assert by_target["account.name"] == Mapping(canonical_entity="account", canonical_field="name", source_field="Name")
    revenue = by_target["account.annual_revenue"]
    assert (revenue.transform.op, revenue.confidence, revenue.status) == ("number", 0.9, "provisional")
    assert by_target["account.owner_id"].source_field == by_target["customer.display_name"].source_field == "Owner"
    assert by_target["customer.balance"].transform.inputs == ("Currency",)
    assert by_target["customer.balance"].fallbacks == ("Other",)
    stage = by_target["account.lifecycle_stage"]
    assert (stage.source_field, stage.transform.params) == ("no", {"values": {"no": "never", "1": "once"}})
    assert by_target["customer.currency"].transform == Transform(op="constant", params={"value": "EUR"})
    assert "account.addresses[].city" in by_target


@pytest.mark.parametrize(
    ("line", "problem", "remedy"),
    [
        ("Revenue: anual_revenue", "no canonical field account.anual_revenue", "annual_revenue"),
        ("Turnover: turnover", "no canonical field account.turnover", "annual_revenue"),
        ("Owner: custommer.name", "no canonical entity 'custommer'", "nearest: customer"),
        ("Created: {canonical: created_at, transform: upper}", "can't give a timestamp", "epoch_seconds, iso_time"),
        ("Created: {canonical: created_at, transform: guess}", "unknown transform 'guess'", "iso_time"),
        ("Stage: {canonical: lifecycle_stage, transform: enum}", "params.values", "what gives a string"),
        ("Stage: {canonical: industry, transform: enum, params: {values: {a: {}}}}", "expected a string", "enum"),
        ("Cents: {canonical: annual_revenue, transform: minor_units}", "takes 1 input", "minor_units"),
        ("a..b: industry", "expected a name", "quote"),
        ("Web: {canonical: website, fallbacks: [Url, Web]}", "falls back on itself", "name each path once"),
        ("Web: {canonical: website, fallbacks: [Url, Url]}", "falls back on itself", "name each path once"),
        ("Old: {canonical: name}", "account.name is written on line 6 too", "fallback"),
        ("Owner: {canonical: owner_id, confidence: 2}", "less than or equal to 1", "docs/"),
        ("Owner: {canonical: owner_id, transfrom: upper}", "transfrom", "docs/"),
        ("Owner: {}", "'canonical'", "docs/"),
        ("Owner: 7", "valid string", "docs/"),
        ("Owner: [owner_id, 7]", "Owner.1", "docs/"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_alone(line: str, problem: str, remedy: str) -> None:
    read = read_mappings(fields("Name: name", line, "Phone: phones"))
    (refusal,) = read.refused
    assert refusal.line == 7
    assert problem in refusal.problem
    assert remedy in refusal.remedy
    assert {m.canonical_field for m in read.sets[0].mappings} >= {"name", "phones"}


def test_entries_that_do_not_fit_together_are_told_apart() -> None:
    read = read_mappings(fields('"a[].x": name', '"b[].x": industry', '"a[].y": website', '"c[].x": owner_id'))
    assert [refusal.line for refusal in read.refused] == [7, 9]
    assert "read from two arrays" in read.refused[0].problem
    assert [m.canonical_field for m in read.sets[0].mappings] == ["name", "website"]


def test_an_entity_of_nothing_known_is_refused_alone() -> None:
    read = read_mappings(
        "connector: crm\nentities:\n  A: {canonical_entity: acount}\n  B: {canonical_entity: account}\n"
        "  C: {primary_key: ['a[]']}\n  D: {fields: {X: name}}\n  E: [1]\n"
    )
    assert [refusal.line for refusal in read.refused] == [3, 5, 6, 7]
    assert "account" in read.refused[0].remedy
    assert "of which canonical entity?" in read.refused[2].problem
    assert [one.entity for one in read.sets] == ["B", "D"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "dictionary"),
        ("entities: {}", 1, "'connector'"),
        ("connector: x\nentities: {}\nmapping: 1\n", 3, "mapping"),
        ("connector: x\nentities: {}\nconnector: y\n", 3, "second time"),
        ("connector: x\nentities: {A: [1\nB: 2", 3, "not YAML"),
        ("connector: x\n---\nconnector: y\n", 2, "second document"),
        ("connector: &c x\nentities: {A: {ignored: [*c]}}", 2, "an alias, *c"),
        ("connector: x\nentities: &e {A: *e}", 2, "an alias, *e"),
        ("connector: !!python/object/apply:os.system [id]\n", 1, "a tag"),
        ("? [a]\n: b\n", 1, "no text"),
        ("a: \x00", 1, "forbids"),
        ("a: \ud800", 1, "forbids"),
        ("a: " + "[" * (DEEPEST + 1), 1, "nest"),
        ("a: " + "[" * 100_000, 1, "nest"),
        ("a" * (8 * 2**20 + 1), 1, "8 MiB"),
    ],
)
def test_what_is_no_mapping_file_is_refused_whole(text: str, line: int, said: str) -> None:
    with pytest.raises(UnreadableYaml) as refused:
        read_mappings(text)
    assert refused.value.line == line
    assert said in str(refused.value)
    assert refused.value.remedy


def test_ten_thousand_lines_of_aliases_are_refused_at_the_first() -> None:
    lines = ["connector: x", "entities:", "  a0: &a0 {fields: {x: name}}"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10_000)]
    started = time.perf_counter()
    with pytest.raises(UnreadableYaml, match="line 4: an alias"):
        read_mappings("\n".join(lines))
    assert time.perf_counter() - started < 1


def test_many_wrong_entries_take_no_time_beyond_reason() -> None:
    wrong = [f"field_{n}: {{canonical: {'nmae' if n % 2 else 'name'}, x: {n}}}" for n in range(1000)]
    assert len(read_mappings(fields(*wrong)).refused) == 1000
    clashes = [f'"a{n}[].x": {{canonical: {name}}}' for n, name in enumerate(["name", "industry", "website"])]
    assert len(read_mappings(fields(*clashes)).refused) == 2


def test_words_are_what_yaml_1_2_says() -> None:
    text = "a: [no, On, true, null, ~, 1, -2.5, 1e3, 0x1f, 1:30, 2020-01-01, '1', 0o7, .5, 1_000]"
    assert read_document(text).value["a"] == [
        *("no", "On", True, None, None, 1, -2.5, 1000.0, "0x1f", "1:30", "2020-01-01", "1", "0o7", 0.5, "1_000")
    ]


def test_the_schema_beside_the_description_is_the_one_in_force() -> None:
    assert (DOCS / "yaml-mappings.schema.json").read_text(encoding="utf-8") == schema_text()


def test_the_example_of_the_description_is_taken() -> None:
    described = (DOCS / "yaml-mappings.md").read_text(encoding="utf-8")
    example = described.partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(example)
    read = read_mappings(example)
    assert read.refused == ()
    assert len(read.sets[0].mappings) > 5


def test_the_description_names_every_transform() -> None:
    described = (DOCS / "yaml-mappings.md").read_text(encoding="utf-8")
    with pytest.raises(InvalidTransform) as unknown:
        build_step(Transform(op="?"), FieldKind.STRING)
    known = str(unknown.value).partition("known: ")[2].split(", ")
    assert [op for op in known if f"`{op}`" not in described] == []
