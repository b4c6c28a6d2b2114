"""Which Java is taken, and how arguments reach it."""

import stat
from pathlib import Path

import pytest

from infra.kafka import java
from infra.kafka.java import argument_file, find_java, java_major
from schemas.failures import Misconfigured


def _fake_java(path: Path, says: str, code: int = 0) -> str:
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("says", "code", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 0, 17),
        ('java version "1.8.0_402"', 0, 8),
        ('openjdk version "25" 2025-09-16', 0, 25),
        ("The operation couldn’t be completed. Unable to locate a Java Runtime.", 1, None),
        ("nonsense", 0, None),
    ],
)
def test_version_is_read_from_what_java_says(tmp_path: Path, says: str, code: int, major: int | None) -> None:
    assert java_major(_fake_java(tmp_path / "java", says, code)) == major


def test_no_such_executable_is_no_java(tmp_path: Path) -> None:
    assert java_major(str(tmp_path / "java")) is None


def test_first_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = _fake_java(tmp_path / "old", 'openjdk version "11.0.2"')
    new = _fake_java(tmp_path / "new", 'openjdk version "21.0.1"')
    monkeypatch.setattr(java, "_candidates", lambda: iter([str(tmp_path / "none"), old, new]))
    assert find_java() == java.Java(new, 21)


def test_none_new_enough_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = _fake_java(tmp_path / "old", 'openjdk version "11.0.2"')
    monkeypatch.setattr(java, "_candidates", lambda: iter([old]))
    with pytest.raises(Misconfigured, match=r"Java 17 or newer.*KAFKA_BOOTSTRAP_SERVERS"):
        find_java()


def test_argument_file_quotes_spaces_quotes_and_backslashes() -> None:
    assert argument_file(["-cp", 'a b\\c"d']) == '"-cp"\n"a b\\\\c\\"d"\n'
