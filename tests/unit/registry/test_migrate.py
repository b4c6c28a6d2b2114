"""What makes a list of migrations sound."""

from pathlib import Path

import pytest

from registry import errors
from registry.migrate import load_migrations


def test_ours_are_sound() -> None:
    assert [m.number for m in load_migrations()] == list(range(1, len(load_migrations()) + 1))


@pytest.mark.parametrize(
    "names", [["0002_b.sql"], ["0001_a.sql", "0001_b.sql"], ["0001_a.sql", "0003_c.sql"], ["one.sql"]]
)
def test_gaps_doubles_and_other_names_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(errors.RegistryBug):
        load_migrations(tmp_path)


def test_the_checksum_is_of_the_text_not_of_its_line_ends(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(b"SELECT 1;\r\n")
    (windows,) = load_migrations(tmp_path)
    (tmp_path / "0001_a.sql").write_bytes(b"SELECT 1;\n")
    assert load_migrations(tmp_path)[0].checksum == windows.checksum
