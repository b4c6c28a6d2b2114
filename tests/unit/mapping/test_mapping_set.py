"""A set held in less memory is the same set."""

from mapping.mapping_set import Mapping, MappingSet, Transform, compacted


def test_a_compacted_set_is_the_same_and_shares_what_is_equal() -> None:
    fields = [
        Mapping(canonical_entity="customer", canonical_field=f"f{n}", source_field=f"s{n}", confidence=0.9)
        for n in range(3)
    ]
    upper = Mapping(
        canonical_entity="customer",
        canonical_field="x",
        source_field="y",
        transform=Transform(op="upper"),
        fallbacks=("z",),
    )
    text = MappingSet(
        connector="crm", entity="customer", epoch=1, revision=2, primary_key=("id",), mappings=(*fields, upper)
    ).model_dump_json()
    whole = MappingSet.model_validate_json(text)
    compact = compacted(whole)
    assert compact == whole
    assert compact.model_dump_json() == text
    first, second, third, last = compact.mappings
    assert first.transform is second.transform is third.transform
    assert last.transform.op == "upper"
