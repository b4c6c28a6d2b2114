"""The split into arms, and each arm's set."""

from hypothesis import given
from hypothesis import strategies as st

from mapping.experiment import arm_of, set_of_arm
from mapping.mapping_set import Experiment, Mapping, MappingSet, compose


def name_from(path: str, field: str = "display_name") -> Mapping:
    return Mapping(canonical_entity="customer", canonical_field=field, source_field=path)


def experiment(percent: float = 25, salt: str = "x", *mappings: Mapping) -> Experiment:
    return Experiment(id=1, percent=percent, salt=salt, mappings=mappings or (name_from("nick"),))


def crm(*mappings: Mapping, tenant: str = "*", trial: Experiment | None = None) -> MappingSet:
    return MappingSet(
        tenant=tenant, connector="crm", entity="person", epoch=1, revision=3, mappings=mappings, experiment=trial
    )


def test_the_split_is_as_wide_as_said() -> None:
    for percent in (1, 25, 50, 90):
        in_b = sum(arm_of(experiment(percent), f"id{n}") == "B" for n in range(20_000))
        assert abs(in_b / 20_000 - percent / 100) < 0.015


def test_the_arm_of_an_id_never_changes() -> None:
    assert [arm_of(experiment(50), f"cus_{n}") for n in range(8)] == list("BBABBBBB")


@given(st.text(), st.floats(min_value=0.1, max_value=99), st.floats(min_value=0, max_value=0.9))
def test_a_wider_split_keeps_whom_it_had(source_id: str, percent: float, more: float) -> None:
    if arm_of(experiment(percent), source_id) == "B":
        assert arm_of(experiment(percent + more), source_id) == "B"


def test_another_salt_is_another_split() -> None:
    arms = [[arm_of(experiment(50, salt), f"id{n}") for n in range(1000)] for salt in ("x", "y")]
    assert 350 < sum(a == b for a, b in zip(*arms, strict=True)) < 650


def test_each_arm_has_its_set() -> None:
    title = name_from("job", "title")
    tried = crm(name_from("name"), trial=experiment(25, "x", name_from("nick"), title))
    assert set_of_arm(tried, "A") == crm(name_from("name"))
    assert set_of_arm(tried, "B") == crm(name_from("nick"), title)
    plain = crm(name_from("name"))
    assert set_of_arm(plain, "B") is plain


def test_a_tenants_own_mapping_takes_no_part_in_the_connectors_experiment() -> None:
    both = experiment(25, "x", name_from("nick"), name_from("job", "title"))
    base = crm(name_from("name"), trial=both)
    composed = compose(base, crm(name_from("label"), tenant="t"))
    assert composed is not None
    assert composed.experiment is not None
    assert [m.canonical_field for m in composed.experiment.mappings] == ["title"]
    overridden = crm(name_from("label"), name_from("role", "title"), tenant="t")
    composed = compose(base, overridden)
    assert composed is not None
    assert composed.experiment is None


def test_of_two_experiments_the_tenants_runs() -> None:
    own = experiment(10, "own")
    composed = compose(crm(name_from("name"), trial=experiment()), crm(name_from("n"), tenant="t", trial=own))
    assert composed is not None
    assert composed.experiment == own
