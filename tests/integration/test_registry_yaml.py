"""Mapping files and the registry: import with and without a history, export, and what is refused."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

import registry
from cli import main
from registry.audit import AuditFilter, AuditTrail
from registry.mapping_store import MappingStore, StoredMapping
from registry.pool import Pool, open_pool
from registry.settings import RegistrySettings
from registry.yaml_export import export_mappings
from registry.yaml_history import read_versions
from registry.yaml_import import ImportReport, import_file
from registry.yaml_mappings import read_mappings

LEGACY = Path(registry.__path__[0]) / "legacy"

HEAD = """connector: crm
entities:
  Account:
    canonical_entity: account
    primary_key: [Id]
    fields:
"""
ONE, OTHER = "one <one@example.org>", "other <other@example.org>"


def file_of(**fields: str) -> str:
    return HEAD + "".join(f"      {source}: {target}\n" for source, target in fields.items())


class Repository:
    """A git repository of a test's own; every commit is a day later."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.days = 0
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, author: str = ONE) -> str:
        name, _, mail = author.rstrip(">").partition(" <")
        day = f"2024-03-{self.days + 1:02}T10:00:00+01:00"
        environment = {
            **{
                f"GIT_{who}_{what}": value
                for who in ("AUTHOR", "COMMITTER")
                for what, value in (("NAME", name), ("EMAIL", mail), ("DATE", day))
            },
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, text: str | None, message: str, *, author: str = ONE, name: str = "crm.yaml") -> str:
        if text is not None:
            (self.folder / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", message, author=author)
        self.days += 1
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "mappings")


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    settings = RegistrySettings(DATABASE_URL=SecretStr(database_url))  # type: ignore[call-arg]  # an alias
    with open_pool(settings) as opened:
        yield opened


def imported(pool: Pool, path: Path, repository: Repository | None = None) -> ImportReport:
    versions = read_versions(path, repository.folder if repository else None, actor="me")
    return import_file(pool, MappingStore(pool), versions)


def holding(pool: Pool) -> dict[str, str | None]:
    return {s.mapping.canonical_field: s.mapping.source_field for s in MappingStore(pool).list_mappings()}


def history(pool: Pool, field: str) -> list[StoredMapping]:
    versions = MappingStore(pool).list_mappings(history=True)
    return [one for one in versions if one.mapping.canonical_field == field]


def test_commits_become_versions_of_their_authors(pool: Pool, repository: Repository) -> None:
    first = repository.commit(file_of(Name="name", Sector="industry"), "crm: accounts\n\nAs agreed.")
    repository.commit(file_of(Title="name", Sector="industry"), "the name is the title", author=OTHER)
    repository.git("mv", "crm.yaml", "crm-eu.yaml")
    repository.commit(None, "of Europe")
    last = repository.commit(file_of(Title="name"), "no sector", author=OTHER, name="crm-eu.yaml")
    path = repository.folder / "crm-eu.yaml"

    report = imported(pool, path, repository)
    assert (report.connector, report.versions, report.mappings, report.refused) == ("crm", 4, 1, ())
    assert holding(pool) == {"name": "Title"}
    name = history(pool, "name")
    assert [(one.mapping.source_field, one.version, one.approved_by, one.method) for one in name] == [
        ("Name", 1, ONE, "manual"),
        ("Title", 2, OTHER, "manual"),
    ]
    assert [one.created_at.date().isoformat() for one in name] == ["2024-03-01", "2024-03-02"]
    decisions = [one for one in AuditTrail(pool).read(AuditFilter(connector="crm")) if one.canonical_field]
    assert [(one.actor, one.canonical_field, one.reason) for one in decisions] == [
        (ONE, "name", "crm: accounts\n\nAs agreed."),
        (ONE, "industry", "crm: accounts\n\nAs agreed."),
        (OTHER, "name", "the name is the title"),
        (OTHER, "industry", "no sector"),
    ]
    assert decisions[0].evidence == {"commit": first, "authored_at": "2024-03-01T10:00:00+01:00"}
    assert decisions[-1].evidence == {"commit": last, "authored_at": "2024-03-04T10:00:00+01:00"}

    again = imported(pool, path, repository)
    assert (again.versions, again.revision) == (0, report.revision)


def test_a_later_commit_changes_what_it_changed_and_nothing_else(pool: Pool, repository: Repository) -> None:
    path = repository.folder / "crm.yaml"
    repository.commit(file_of(Name="name", Sector="industry"), "first")
    assert imported(pool, path, repository).versions == 1
    store = MappingStore(pool)
    store.remove_mapping(connector="crm", entity="Account", target=("account", "industry"), method="manual", actor="me")
    repository.commit(file_of(Name="name", Sector="industry", Site="website"), "and the site")
    assert imported(pool, path, repository).versions == 1
    assert holding(pool) == {"name": "Name", "website": "Site"}


def test_branches_give_what_each_of_their_commits_changed(pool: Pool, repository: Repository) -> None:
    base = {f"F{n}": name for n, name in enumerate(["name", "industry", "website", "owner_id", "parent_id"])}
    repository.commit(file_of(**base), "base")
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit(file_of(**base).replace("F4:", "Side:"), "on the side", author=OTHER)
    repository.git("checkout", "--quiet", "main")
    repository.commit(file_of(**base).replace("F0:", "Main:"), "on main")
    repository.git("merge", "--quiet", "--no-ff", "-m", "merged", "side")
    report = imported(pool, repository.folder / "crm.yaml", repository)
    assert report.versions == 4
    assert holding(pool) | {"industry": "F1"} == {
        **{name: source for source, name in base.items()},
        "name": "Main",
        "parent_id": "Side",
    }
    # the side knew nothing of main's change, and did not undo it
    assert [(one.mapping.source_field, one.approved_by) for one in history(pool, "name")] == [
        ("F0", ONE),
        ("Main", ONE),
    ]
    assert [(one.mapping.source_field, one.approved_by) for one in history(pool, "parent_id")] == [
        ("F4", ONE),
        ("Side", OTHER),
    ]


def test_what_is_in_no_commit_comes_last(pool: Pool, repository: Repository) -> None:
    path = repository.folder / "crm.yaml"
    repository.commit(file_of(Name="name", Sector="industry"), "first")
    path.write_text(file_of(Name="name", Site="website"))
    report = imported(pool, path, repository)
    assert report.versions == 2
    assert holding(pool) == {"name": "Name", "website": "Site"}
    assert history(pool, "website")[0].approved_by == "me"
    repository.commit(None, "as imported")
    assert imported(pool, path, repository).versions == 0


def test_a_file_without_a_history_is_one_version(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "crm.yaml"
    path.write_text(file_of(Name="name", Sector="industry"))
    report = imported(pool, path)
    assert (report.versions, report.mappings) == (1, 2)
    assert imported(pool, path).versions == 0
    store = MappingStore(pool)
    site = store.list_mappings()[0].mapping.model_copy(update={"canonical_field": "website", "source_field": "Site"})
    store.set_mapping(connector="crm", entity="Account", mapping=site, method="manual", actor="me")
    path.write_text(file_of(Name="name"))
    assert imported(pool, path).versions == 1
    # what the file no longer says goes, what it never said stays
    assert holding(pool) == {"name": "Name", "website": "Site"}


def test_a_history_that_came_later_starts_where_the_file_was(pool: Pool, repository: Repository) -> None:
    path = repository.folder / "crm.yaml"
    path.write_text(file_of(Name="name"))
    assert imported(pool, path).versions == 1
    repository.commit(file_of(Old="name"), "long ago")
    repository.commit(file_of(Name="name"), "as imported")
    repository.commit(file_of(New="name"), "since")
    assert imported(pool, path, repository).versions == 1
    assert [one.mapping.source_field for one in history(pool, "name")] == ["Name", "New"]


def test_what_was_refused_removes_nothing(pool: Pool, repository: Repository) -> None:
    path = repository.folder / "crm.yaml"
    repository.commit(file_of(Name="name", Sector="industry"), "first")
    broken = repository.commit("connector: [crm\n", "a slip")
    slip = repository.commit(file_of(Name="name", Sector="industri"), "another slip")
    report = imported(pool, path, repository)
    assert [(entry.commit, entry.refusal.line) for entry in report.refused] == [(broken, 2), (slip, 8)]
    assert holding(pool) == {"name": "Name", "industry": "Sector"}


def test_a_set_that_does_not_fit_to_the_registry_is_refused_alone(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "crm.yaml"
    path.write_text(file_of(**{'"a[].x"': "name"}))
    assert imported(pool, path).refused == ()
    own = tmp_path / "own.yaml"
    other = "  Contact: {canonical_entity: contact, fields: {Title: title}}\n"
    own.write_text("tenant: acme\n" + file_of(**{'"b[].x"': "industry"}) + other)
    report = imported(pool, own)
    assert [entry.refusal.line for entry in report.refused] == [4]
    assert "two arrays" in report.refused[0].refusal.problem
    assert holding(pool) == {"name": "a[].x", "title": "Title"}


def test_tenants_export_their_own(pool: Pool, tmp_path: Path) -> None:
    for tenant, title in (("*", "name"), ("acme", "industry"), ("../acme", "website")):
        path = tmp_path / "crm.yaml"
        path.write_text(f"tenant: {json.dumps(tenant)}\n" + file_of(Title=title))
        assert imported(pool, path).refused == ()
    (shared,) = export_mappings(pool)
    (own,) = export_mappings(pool, tenant="acme", connector="crm")
    (other,) = export_mappings(pool, tenant="../acme")
    assert [file.name for file in (shared, own, other)] == ["crm.yaml", "crm@acme.yaml", "crm@..%2Facme.yaml"]
    assert "Title: name" in shared.text
    assert "tenant: acme" in own.text
    assert "Title: industry" in own.text
    assert export_mappings(pool, connector="nobody") == []


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, ["mappings", *arguments])


def test_the_commands_import_and_export(
    database_url: str, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(file_of(Name="name"), "first")
    repository.commit(file_of(Title="name"), "second")
    path = str(repository.folder / "crm.yaml")
    dry = run("import", path, "--dry-run", "--repository", str(repository.folder), "--json")
    assert json.loads(dry.stdout) == {
        **{"file": path, "connector": "crm", "tenant": "*", "versions": 2, "mappings": 1},
        **{"revision": None, "refused": []},
    }
    monkeypatch.setenv("DATABASE_URL", database_url)
    result = run("import", str(repository.folder), "--repository", str(repository.folder))
    assert result.exit_code == 0, result.stderr
    assert "crm" in result.stdout
    out = tmp_path / "out"
    assert run("export", "-o", str(out)).stdout == f"{out / 'crm.yaml'}: 1 mappings\n"
    assert (out / "crm.yaml").read_text() == file_of(Title="name")
    assert run("export", "--connector", "crm").stdout == file_of(Title="name")
    bad = tmp_path / "bad.yaml"
    bad.write_text(file_of(Name="nam", Title="name", **{"A": "&x industry", "B": "*x"}))
    result = run("import", str(bad))
    assert result.exit_code == 5
    assert f"{bad}:10: an alias, *x; write out what it stands for" in result.stdout
    bad.write_text(file_of(Name="nam", Title="name"))
    result = run("import", str(bad))
    assert result.exit_code == 5
    assert f"{bad}:7: no canonical field account.nam; nearest: name" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("import", "nowhere.yaml"), 5, "nowhere.yaml: there is no such file"),
        (("import", "nowhere.yaml", "--repository", "/"), 3, "not a git repository"),
        (("import", "."), 2, "no *.yaml in ."),
        (("import",), 2, "PATH..."),
    ],
)
def test_a_mistake_of_the_command_has_its_exit_code(
    arguments: tuple[str, ...], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, "--dry-run")
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr


def test_the_eight_legacy_connectors_move_into_postgres_and_out_again(pool: Pool, tmp_path: Path) -> None:
    files = sorted(LEGACY.glob("*.yaml"))
    assert [file.stem for file in files] == [
        *("aws_cloudwatch", "dynamics365", "hubspot", "intercom", "pipedrive", "salesforce", "stripe", "zendesk")
    ]
    reports = {file.name: imported(pool, file) for file in files}
    assert {name: report.refused for name, report in reports.items()} == dict.fromkeys(reports, ())
    exported = {file.name: file.text for file in export_mappings(pool)}
    assert exported == {file.name: file.read_text(encoding="utf-8") for file in files}
    stored = MappingStore(pool).list_mappings()
    assert len(stored) == sum(report.mappings for report in reports.values())
    assert {(one.version, one.method) for one in stored} == {(1, "manual")}
    # five of them whole: at least two kinds of record, with a dozen known fields each
    for connector in ("dynamics365", "hubspot", "pipedrive", "salesforce", "zendesk"):
        (text,) = [file.text for file in export_mappings(pool, connector=connector)]
        sets = read_mappings(text).sets
        assert sum(len(one.mappings) >= 12 for one in sets) >= 2
        assert all(len(one.mappings) + len(one.ignored) >= 12 for one in sets)
    assert {name: imported(pool, file).versions for name, file in zip(reports, files, strict=True)} == dict.fromkeys(
        reports, 0
    )


def test_who_may_not_approve_alone_imports_nothing(
    database_url: str, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("AAM_BAR_SELF_APPROVAL", "true")
    path = tmp_path / "crm.yaml"
    path.write_text(file_of(Name="name"))
    result = run("import", str(path))
    assert (result.exit_code, "propose it" in result.stderr) == (5, True), result.output
    assert holding(pool) == {}
