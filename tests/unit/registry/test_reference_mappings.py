"""The data in `connector_specs/reference/`: it fits the canonical model, and is evidence that decisions go before."""

from collections import defaultdict
from pathlib import Path

import pytest

from mapping.path import parse
from registry.errors import RegistryMisconfigured
from registry.known_mappings import KnownField
from registry.reference_mappings import FOLDER, read_reference, reference_mappings, with_reference
from registry.seeds import connector_names
from schemas.canonical_model import load_entities

FILES = sorted(FOLDER.glob("*.json"))
FIELDS = {name: {path for path, _ in entity.targets()} for name, entity in load_entities().items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_vendor_names_canonical_fields_by_paths_and_never_says_both(path: Path) -> None:
    known = list(read_reference(path).known())
    assert known
    said: dict[tuple[str, str, str], list[str | None]] = defaultdict(list)
    for one in known:
        parse(one.path)
        assert one.canonical_field is None or one.canonical_field in FIELDS[one.canonical_entity], one
        said[one.source_entity, one.path, one.canonical_entity].append(one.canonical_field)
    assert not [key for key, fields in said.items() if None in fields and len(fields) > 1]
    assert not [key for key, fields in said.items() if len(set(fields)) < len(fields)]


def test_no_connector_with_seeds_has_a_reference_besides() -> None:
    assert len(FILES) > 100
    assert not {file.stem for file in FILES} & set(connector_names())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no reference mapping"),
        ('{"vendor": "desk", "docs_url": "https://d", "entities": {"t": {"is": {}}}}', "nothing"),
        ('{"vendor": "other", "docs_url": "https://d", "entities": {}}', "desk.json is of other"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "desk.json").write_text(text)
    with pytest.raises(RegistryMisconfigured, match=said):
        reference_mappings(tmp_path)


def test_what_is_decided_about_a_path_goes_before_the_reference() -> None:
    def known(path: str, field: str | None, *, seeded: bool) -> KnownField:
        return KnownField("desk", "ticket", path, None, "ticket", field, seeded)

    decided = [known("title", None, seeded=False)]
    reference = [known("title", "subject", seeded=True), known("state", "status", seeded=True)]
    assert with_reference(decided, reference) == [decided[0], reference[1]]
