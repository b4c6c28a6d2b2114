"""What of the local PostgreSQL can be known without one: ways through folders, command lines without passwords."""

from pathlib import Path

from infra.postgres.account import open_way
from infra.postgres.client import without_password


def test_way_is_opened_for_passing_only_and_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0o700)
    said: list[str] = []
    open_way(closed / "data", said.append)
    assert closed.stat().st_mode & 0o777 == 0o701
    assert any(str(closed) in line for line in said)


def test_open_way_is_left_as_it_is(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    said: list[str] = []
    open_way(tmp_path, said.append)
    assert said == []


def test_password_goes_by_the_environment() -> None:
    address, environment = without_password("postgresql://aam:s3cret@127.0.0.1:5/aam?sslmode=require")
    assert "s3cret" not in address
    assert "sslmode=require" in address
    assert environment == {"PGPASSWORD": "s3cret"}


def test_without_a_password_the_environment_stays_alone() -> None:
    assert without_password("postgresql:///aam")[1] == {}
