"""A prefix that most fields share is taken off, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from mapping.shared_prefix import without_shared_prefix

NAMES = ["email", "state", "role", "name", "city", "phone"]


def test_a_prefix_of_most_fields() -> None:
    assert without_shared_prefix([f"qp_{name}" for name in NAMES] + ["id"]) == [*NAMES, "id"]
    assert without_shared_prefix([f"record.qp_{name}" for name in NAMES]) == [f"record.{name}" for name in NAMES]
    assert without_shared_prefix([f"Contact{name.title()}" for name in NAMES]) == [name.title() for name in NAMES]


def test_what_few_share_or_nobody_stays() -> None:
    assert without_shared_prefix(["billing_city", "billing_zip", *NAMES]) == ["billing_city", "billing_zip", *NAMES]
    assert without_shared_prefix(["qp_a", "qp_b"]) == ["qp_a", "qp_b"]
    assert without_shared_prefix([]) == []


@given(st.lists(st.text(max_size=12), max_size=12))
def test_any_texts_keep_number_and_order(paths: list[str]) -> None:
    shorter = without_shared_prefix(paths)
    assert len(shorter) == len(paths)
    assert all(path.endswith(short.rpartition(".")[2]) for path, short in zip(paths, shorter, strict=True))
