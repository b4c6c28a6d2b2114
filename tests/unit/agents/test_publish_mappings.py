"""Which sets are published."""

from agents.publish_mappings import usable
from mapping.mapping_set import ANY_TENANT, Mapping, MappingSet, Transform


def a_set(connector: str, *, tenant: str = ANY_TENANT, field: str = "display_name", op: str = "copy") -> MappingSet:
    mapping = Mapping(
        canonical_entity="customer", canonical_field=field, source_field="name", transform=Transform(op=op)
    )
    return MappingSet(tenant=tenant, connector=connector, entity="customer", epoch=1, revision=1, mappings=(mapping,))


def test_a_set_that_no_worker_could_use_is_left_out_and_the_rest_goes_on() -> None:
    sets = (a_set("a"), a_set("b", field="no_such_field"), a_set("c", op="no_such_op"), a_set("d"))
    assert [held.connector for held, _ in usable(sets)] == ["a", "d"]


def test_an_emptied_set_is_published_empty() -> None:
    ((held, body),) = usable((a_set("a").model_copy(update={"mappings": ()}),))
    assert MappingSet.model_validate_json(body) == held
    assert held.mappings == ()
