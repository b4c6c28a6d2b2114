"""The lock of Kafka's jars: complete, and nothing that differs from it is handed out."""

import hashlib
from pathlib import Path

import platformdirs
import pytest

from infra.kafka import jars
from infra.kafka.jars import KAFKA_VERSION, WANTED, LockedJar, read_lock, verify_jars
from schemas.failures import Misconfigured


def _folder_of_two(folder: Path) -> list[LockedJar]:
    locked = []
    for name in ("one", "two"):
        content = name.encode() * 1000
        (folder / f"{name}-1.0.jar").write_bytes(content)
        locked.append(LockedJar(f"org.example:{name}:1.0", hashlib.sha256(content).hexdigest(), len(content)))
    return locked


def test_untouched_jars_are_handed_out_in_the_order_of_the_lock(tmp_path: Path) -> None:
    locked = _folder_of_two(tmp_path)
    assert verify_jars(tmp_path, locked) == [tmp_path / "one-1.0.jar", tmp_path / "two-1.0.jar"]


def test_one_flipped_bit_refuses_and_names_the_jar(tmp_path: Path) -> None:
    locked = _folder_of_two(tmp_path)
    content = bytearray((tmp_path / "two-1.0.jar").read_bytes())
    content[500] ^= 1
    (tmp_path / "two-1.0.jar").write_bytes(content)
    with pytest.raises(Misconfigured, match=r"two-1\.0\.jar"):
        verify_jars(tmp_path, locked)


def test_missing_jar_refuses_and_names_it(tmp_path: Path) -> None:
    locked = _folder_of_two(tmp_path)
    (tmp_path / "one-1.0.jar").unlink()
    with pytest.raises(Misconfigured, match=r"one-1\.0\.jar is missing"):
        verify_jars(tmp_path, locked)


def test_jar_that_the_lock_does_not_name_is_not_handed_out(tmp_path: Path) -> None:
    locked = _folder_of_two(tmp_path)
    (tmp_path / "evil-1.0.jar").write_bytes(b"x")
    assert tmp_path / "evil-1.0.jar" not in verify_jars(tmp_path, locked)


def test_committed_lock_holds_what_is_wanted_and_one_kafka_version() -> None:
    locked = read_lock()
    coordinates = {jar.coordinate for jar in locked}
    assert set(WANTED) <= coordinates
    versions = {c.split(":")[2] for c in coordinates if c.startswith("org.apache.kafka:")}
    assert versions == {KAFKA_VERSION}
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in locked)
    assert len({jar.file_name for jar in locked}) == len(locked)  # they share one folder


def test_download_that_differs_from_the_lock_installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(coordinates: list[str], scratch: Path) -> list[Path]:
        scratch.mkdir(parents=True)
        paths = [scratch / str(number) for number, _ in enumerate(coordinates)]
        for path in paths:
            path.write_bytes(b"not what was locked")
        return paths

    monkeypatch.setattr("infra.kafka.maven.download", download)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _name: tmp_path)
    with pytest.raises(Misconfigured, match="SHA-256 differs"):
        jars.fetch_jars(lambda _line: None)
    assert not [path for path in (tmp_path / "kafka-jars").iterdir() if path.is_dir() and path.suffix != ".staging"]
