"""`aam mappings import` and `export`: mapping files in YAML. What stands in one is in docs/yaml-mappings.md."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.actor import current_actor
from cli.console import say, write_json, write_line, write_table
from cli.exit_codes import ExitCode
from cli.services import open_registry, registry_settings
from mapping.mapping_set import ANY_TENANT
from registry.mapping_store import MappingStore
from registry.yaml_export import ExportedFile, export_mappings
from registry.yaml_history import read_versions
from registry.yaml_import import ImportReport, check_file, import_file

Json = Annotated[bool, typer.Option("--json", help="JSON, a line each.")]


def import_files(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Mapping files, or folders of *.yaml and *.yml.")
    ],
    repository: Annotated[
        Path | None, typer.Option("--repository", help="Git repository whose commits of a file are its versions.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be taken and what not; no database.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import mapping files in YAML; says what was refused and why, and takes the rest."""
    versions = {path: read_versions(path, repository, actor=current_actor()) for path in _files(paths)}
    if dry_run:
        reports = {path: check_file(found) for path, found in versions.items()}
    else:
        with open_registry() as pool:
            store = MappingStore(pool, bar_self_approval=registry_settings().bar_self_approval)
            reports = {path: import_file(pool, store, found) for path, found in versions.items()}
    if as_json:
        for path, report in reports.items():
            write_json(_as_json(path, report))
    else:
        _show(reports)
    if any(report.refused for report in reports.values()):
        raise typer.Exit(ExitCode.INVALID_INPUT)


def export_files(
    connector: Annotated[str | None, typer.Option("--connector", help="Only this source system.")] = None,
    tenant: Annotated[
        str, typer.Option("--tenant", help="One tenant's own mappings; * for those of all.")
    ] = ANY_TENANT,
    folder: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for a file per connector; else standard output.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the mappings in force as YAML, the form that import reads."""
    with open_registry() as pool:
        files = export_mappings(pool, tenant=tenant, connector=connector)
    if not files:
        say("There are no such mappings.")
    if folder is not None:
        _write(folder, files)
    elif len(files) > 1 and not as_json:
        names = ", ".join(file.connector for file in files)
        raise typer.BadParameter(f"one file per connector: give a folder, or one of {names}", param_hint="--connector")
    for file in files:
        if as_json:
            text = {} if folder else {"text": file.text}
            write_json(
                {"connector": file.connector, "tenant": file.tenant, "mappings": file.mappings, "file": file.name}
                | text
            )
        elif folder is None:
            sys.stdout.write(file.text)
        else:
            write_line(f"{folder / file.name}: {file.mappings} mappings")


def _files(paths: list[Path]) -> list[Path]:
    """The files meant, each once; a folder stands for the mapping files in it."""
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
        if not inside:
            raise typer.BadParameter(f"no *.yaml in {path}", param_hint="PATH")
        found |= dict.fromkeys(inside)
    return list(found)


def _write(folder: Path, files: list[ExportedFile]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            (folder / file.name).write_text(file.text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{folder}: {error.strerror}", param_hint="--output") from error


def _show(reports: dict[Path, ImportReport]) -> None:
    columns = ("file", "connector", "tenant", "versions", "mappings", "refused", "revision")
    write_table(columns, [(path, *_row(report)) for path, report in reports.items()])
    for path, report in reports.items():
        for entry in report.refused:
            of = f" ({entry.commit[:10]})" if entry.commit else ""
            refusal = entry.refusal
            write_line(f"{path}:{refusal.line}{of}: {refusal.problem}; {refusal.remedy}")


def _row(report: ImportReport) -> tuple[object, ...]:
    revision = "" if report.revision is None else report.revision
    found = (report.connector or "", report.tenant or "", report.versions, report.mappings)
    return (*found, len(report.refused), revision)


def _as_json(path: Path, report: ImportReport) -> dict[str, Any]:
    return {
        "file": str(path),
        "connector": report.connector,
        "tenant": report.tenant,
        "versions": report.versions,
        "mappings": report.mappings,
        "revision": report.revision,
        "refused": [
            {
                "commit": entry.commit,
                "line": entry.refusal.line,
                "problem": entry.refusal.problem,
                "remedy": entry.refusal.remedy,
            }
            for entry in report.refused
        ],
    }
