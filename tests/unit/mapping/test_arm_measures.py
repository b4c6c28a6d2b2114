"""What is counted of each arm's events, and how often both arms differ on the same record."""

from typing import Any

from mapping.arm_measures import ArmComparison, disagreement
from mapping.mapping_set import Experiment, Mapping, MappingSet, Transform
from mapping.origin import Delivery, Origin
from schemas.canonical_model import load_entities

ORIGIN = Origin("acme", "crm", "person", "crm")


def tried(*mappings: Mapping) -> MappingSet:
    name = Mapping(canonical_entity="customer", canonical_field="display_name", source_field="name")
    return MappingSet(
        connector="crm",
        entity="person",
        epoch=1,
        revision=4,
        primary_key=("id",),
        mappings=(name,),
        experiment=Experiment(id=1, percent=50, salt="x", mappings=mappings),
    )


NICK = tried(Mapping(canonical_entity="customer", canonical_field="display_name", source_field="nick"))


def event(arm: str | None, name: str | None, *unconverted: str) -> dict[str, Any]:
    return {"aam": {"arm": arm, "unconverted": dict.fromkeys(unconverted, "why")}, "display_name": name}


def test_each_arm_is_counted_by_its_own_events() -> None:
    comparison = ArmComparison(NICK)
    for given in (event("A", "Ann"), event("A", "Bob"), event("A", "Ann"), event("B", None, "nick"), event(None, "x")):
        comparison.add("customer", given)
    a, b = comparison.arms["A"], comparison.arms["B"]
    assert (a.records, a.failures, b.records, b.failures) == (3, 0, 1, 1)
    assert (a.fields["customer.display_name"].distinct, a.fields["customer.display_name"].null_rate) == (2, 0.0)
    assert (b.fields["customer.display_name"].distinct, b.fields["customer.display_name"].null_rate) == (0, 1.0)


def test_what_the_other_arm_reads_is_no_failure_of_this_one() -> None:
    comparison = ArmComparison(NICK)
    comparison.add("customer", event("A", "Ann", "nick"))
    assert comparison.arms["A"].failures == 0


def test_both_arms_map_the_sample() -> None:
    records = [{"id": 1, "name": "Ann", "nick": "Ann"}, {"id": 2, "name": "Bob", "nick": "B"}, {"id": 3, "name": "C"}]
    found = disagreement(NICK, load_entities(), [(r, ORIGIN, delivery(n)) for n, r in enumerate(records)])
    assert (found.records, found.differing, dict(found.by_field)) == (3, 2, {"customer.display_name": 2})
    assert found.rate == 2 / 3
    assert disagreement(NICK, load_entities(), []).rate is None


def test_a_member_of_a_list_is_compared_by_its_values() -> None:
    city = Mapping(canonical_entity="customer", canonical_field="addresses[].city", source_field="town")
    upper = tried(city.model_copy(update={"transform": Transform(op="upper")}))
    records = [{"id": 1, "name": "Ann", "town": "Rome"}, {"id": 2, "name": "Bob"}]
    found = disagreement(upper, load_entities(), [(r, ORIGIN, delivery(n)) for n, r in enumerate(records)])
    assert (found.records, found.differing) == (2, 1)


def delivery(offset: int) -> Delivery:
    return Delivery("raw", 0, offset, 0, "upsert", None, None, 0)
