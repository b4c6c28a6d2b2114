"""Labels are counted by source field, with a set of right answers."""

import gzip
from pathlib import Path

import pytest

from inference.label_rows import COLUMNS, questions, read_labels, same_vendor, uses_our_model
from schemas.failures import Misconfigured

LINES = (
    ",".join(COLUMNS),
    "acme,person,uid,string,contact,id,lab,0,0,in",
    "acme,person,uid,string,contact,remote_id,lab,0,0,in",
    "acme,person,Name,,contact,name,lab,0,1,in",
    "acme,person,etag,string,contact,,lab,0,0,in",
    "acme,person,both,string,contact,name,lab,1,0,in",
    "acme,person,sent,string,contact,name,lab,0,0,out",
)


@pytest.mark.parametrize("name", ["labels.csv", "labels.csv.gz"])
def test_a_field_is_asked_once_and_any_of_its_targets_is_right(tmp_path: Path, name: str) -> None:
    data = "\n".join(LINES).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    (asked,) = questions(read_labels(tmp_path / name))
    assert [field.path for field in asked.question.fields] == ["uid", "Name", "etag"]
    assert asked.gold == (frozenset({"id", "remote_id"}), frozenset({"name"}), frozenset())
    assert asked.renamed == (True, False, True)
    assert [target.name for target in asked.question.targets] == ["id", "remote_id", "name"]


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("vendor,field\n", encoding="utf-8")
    with pytest.raises(Misconfigured, match="vendor_entity"):
        read_labels(tmp_path / "x.csv")


def test_labels_of_our_own_model_are_known_as_such(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{LINES[0]}\nacme,person,fname,,contact,first_name,lab,0,0,in\n", encoding="utf-8")
    assert uses_our_model(read_labels(path))
    assert len(questions(read_labels(path))[0].question.targets) > 5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("zoho", "zoho_crm", True),
        ("Zendesk-Sell", "zendesk", True),
        ("box", "dropbox", False),
        ("jira", "linear", False),
        ("!", "jira", False),
    ],
)
def test_vendors_are_the_same_if_one_name_begins_with_the_other(one: str, other: str, same: bool) -> None:
    assert same_vendor(one, other) is same
    assert same_vendor(other, one) is same
