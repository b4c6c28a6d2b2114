"""A fit on a small world: the same bytes for the same rows, what simulated rows add, and how it is judged."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from inference.evaluate_matcher import judge, judge_refitted
from inference.fit_matcher import fit_matcher
from inference.label_rows import LabelRow, data_hash
from mapping.candidates import Vectors
from mapping.score_model import MatchModel, load_model, write_model
from schemas.failures import Misconfigured

VENDORS: Final = [f"vendor{number}" for number in range(12)]
NAMES: Final = {
    "contact": {"first_name": ("firstName", "given_name"), "emails": ("email", "mail"), "city": ("town", "city")},
    "invoice": {"total": ("grandTotal", "amount"), "due_date": ("dueOn", "due_date"), "number": ("no", "invoiceNo")},
}
CALLED: Final = {"contact": ("person", "people"), "invoice": ("bill", "invoices")}


class LetterEmbedder:
    """Vectors of letter counts: quick, and no model."""

    name = "letters"
    dimension = 32

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.array([[text.count(chr(97 + place)) for place in range(32)] for text in texts], np.float32)
        unit: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
        return unit


def _rows() -> list[LabelRow]:
    return [
        LabelRow(vendor, CALLED[entity][place % 2], path, "string", entity, field, "lab", same_name=False)
        for place, vendor in enumerate(VENDORS)
        for entity, fields in NAMES.items()
        for path, field in (
            *((names[place % 2], field) for field, names in fields.items()),
            ("etag", None),
            (f"own_{place}", None),
        )
    ]


@pytest.fixture(scope="module")
def model() -> MatchModel:
    return fit_matcher(_rows(), LetterEmbedder())


def test_the_same_rows_give_the_same_bytes_and_survive_them(tmp_path: Path, model: MatchModel) -> None:
    write_model(model, tmp_path / "first.gz")
    write_model(fit_matcher(_rows(), LetterEmbedder()), tmp_path / "second.gz")
    assert (tmp_path / "first.gz").read_bytes() == (tmp_path / "second.gz").read_bytes()
    assert load_model(tmp_path / "first.gz") == model
    assert model.card == {
        "embedder": "letters",
        "data_sha256": data_hash(_rows()),
        "rows": 120,
        "reference_rows": 0,
        "simulated_rows": 0,
    }


def test_simulated_rows_teach_but_bring_no_words(model: MatchModel) -> None:
    simulated = [replace(row, origin="made up", source_field=f"{row.source_field}_zzyzx") for row in _rows()]
    taught = fit_matcher(_rows(), LetterEmbedder(), simulated=simulated)
    assert taught.words == model.words
    assert taught.version != model.version
    assert taught.logistic.weights != model.logistic.weights
    assert taught.entities.weights != model.entities.weights


def test_reference_rows_teach_but_not_about_their_own_vendor() -> None:
    others = [replace(row, origin="other lab", vendor=f"{row.vendor}b") for row in _rows()]
    of_lab = [replace(row, origin="reference", vendor=f"{row.vendor}_crm") for row in _rows()]
    plain, taught = (
        judge_refitted([*_rows(), *others], LetterEmbedder(), lambda _: (), by_origin=True, reference=rows).fields
        for rows in ((), of_lab)
    )
    changed = plain.probability != taught.probability
    assert changed[plain.origins == "other lab"].any()
    assert not changed[plain.origins == "lab"].any()


def test_simulated_rows_alone_are_no_labels() -> None:
    with pytest.raises(Misconfigured, match="at least 5 vendors"):
        fit_matcher(_rows()[:10], LetterEmbedder(), simulated=_rows())


def test_fields_and_entities_are_judged_without_the_vendors_own_rows(model: MatchModel) -> None:
    judged = judge(_rows(), model, LetterEmbedder(), lambda _: ())
    assert len(judged.fields.mapped) == 120
    assert judged.fields.right[judged.fields.mapped].mean() > 0.9
    assert not judged.fields.right[~judged.fields.mapped].any()
    # each entity of each vendor, once among all and once without the right one
    assert judged.entities.mapped.tolist() == [True, False] * 24
    assert judged.entities.right[judged.entities.mapped].all()
    assert not judged.entities.right[~judged.entities.mapped].any()
    sure = judged.entities.probability[judged.entities.mapped].min()
    assert sure > judged.entities.probability[~judged.entities.mapped].max()


def test_an_unseen_origin_is_judged_by_a_fit_without_it() -> None:
    others = [replace(row, origin="other lab", vendor=f"{row.vendor}b") for row in _rows()]
    told: list[str] = []
    judged = judge_refitted([*_rows(), *others], LetterEmbedder(), lambda _: (), by_origin=True, progress=told.append)
    assert told == ["fitting without lab", "fitting without other lab"]
    assert sorted(judged.fields.vendors.tolist()) == sorted(row.vendor for row in (*_rows(), *others))
    assert judged.fields.right[judged.fields.mapped].mean() > 0.9
