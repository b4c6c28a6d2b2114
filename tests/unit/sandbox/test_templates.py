"""Record templates: what each form makes, and which say nothing."""

import random
from typing import Any

import pytest
from faker import Faker

from sandbox.generators import Scene, slot
from sandbox.templates import BadTemplate, compile_template

FAKE = Faker("en_US")


def made(template: Any, seed: int = 1) -> Any:
    FAKE.seed_instance(seed)
    return compile_template(template)(Scene(FAKE, random.Random(seed), lambda entity, _: f"{entity}-9"))


def many(template: Any) -> list[Any]:
    return [made(template, seed) for seed in range(40)]


@pytest.mark.parametrize("literal", [1, 1.5, None, True, "text", ["a", 1], {"a": {"b": []}}])
def test_what_names_no_generator_stands_for_itself(literal: Any) -> None:
    assert made(literal) == literal


def test_values_and_keys_are_there_as_often_as_they_say() -> None:
    assert {made({"always": 1, "never?0.0": 2}, seed).keys() == {"always"} for seed in range(20)} == {True}
    shares = [
        sum(value is None for value in many("@word ?0.5")),
        sum("a" not in record for record in many({"a?0.5": 1})),
    ]
    assert all(8 < share < 32 for share in shares)


def test_generators_keep_their_json_types_but_inside_of_texts() -> None:
    assert {type(value) for value in many("@int 1 3")} == {int}
    assert set(many("@int 10 30 10")) == {10, 20, 30}
    assert set(many('@any [null, 1, "x"]')) == {None, 1, "x"}
    assert set(many("n{int 7 7}-{{id}}")) == {"n7-{id}"}


def test_the_parts_of_a_person_fit_together() -> None:
    record = made({"first": "@first_name", "email": "@email", "friends": {"@list": [2, 2], "of": "@full_name"}})
    assert record["email"].startswith(record["first"].lower().replace(" ", ""))
    assert len({record["first"], *(name.split()[0] for name in record["friends"])}) > 1


def test_a_field_may_depend_on_those_before_it() -> None:
    template = {
        "lines": {"@list": [3, 3], "of": {"price": "@int 1 9", "count": 2, "sum": "@times price count"}},
        "total": "@sum lines.sum",
        "paid": {"@case": "total", "0": "never", "*": "@=total"},
    }
    record = made(template)
    assert record["total"] == record["paid"] == sum(2 * line["price"] for line in record["lines"])
    gates = many({"open": "@chance 0.5", "state": {"@case": "open", "true": "o", "*": "c"}})
    assert {(gate["open"], gate["state"]) for gate in gates} == {(True, "o"), (False, "c")}


def test_ids_times_and_references() -> None:
    assert made("@id") == slot("id")
    assert made("u/{key name}") == f"u/{slot('key:name')}"
    assert made("@created iso 2") == slot(f"time:{2 * 86_400}:iso")
    assert made("@ref owner") == "owner-9"


@pytest.mark.parametrize("template", ["@nobody_has_this", "@int few", "@word 3", "@any [", {"a": ["{_private}"]}])
def test_a_template_that_says_nothing_is_refused(template: Any) -> None:
    with pytest.raises(BadTemplate, match="record template"):
        compile_template(template)
