"""Finds and reads the specs of connectors: those of AAM, and those in a folder of the user's own, which go first."""

from pathlib import Path
from typing import Final

import connector_specs
from schemas.connector_spec import ConnectorSpec
from schemas.failures import Misconfigured
from schemas.spec_problems import InvalidSpec, Problem, parse_spec

OURS: Final = Path(connector_specs.__path__[0])


def spec_files(own: Path | None = None) -> dict[str, Path]:
    """Name of each connector → its file, in order of name."""
    folders = [OURS, *([own] if own else [])]
    found = {path.stem: path for folder in folders for path in folder.glob("*.json") if "." not in path.stem}
    return dict(sorted(found.items()))


def load_spec(name: str, own: Path | None = None) -> ConnectorSpec:
    """The spec of a connector. Raises Misconfigured: there is none of that name; InvalidSpec."""
    files = spec_files(own)
    if name not in files:
        raise Misconfigured(f"there is no connector {name}; there are {', '.join(files)}")
    return read_spec(files[name])


def read_spec(path: Path) -> ConnectorSpec:
    """The spec in a file, which is named as the connector is. Raises InvalidSpec, Misconfigured."""
    try:
        spec = parse_spec(path.read_bytes())
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from error
    if spec.name != path.stem:
        problem = Problem("$.name", f"differs from the file's name, {path.stem}", f"call the file {spec.name}.json")
        raise InvalidSpec([problem])
    return spec
