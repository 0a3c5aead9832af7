"""Microsoft's own library, under Mono, loads the Power BI model, and writes it again as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests import powerbi
from tests.powerbi import MODEL, Model

HERE = Path(__file__).resolve().parent
LOCK = HERE / "powerbi.lock"
KEPT = Path(sys.prefix) / "powerbi"  # goes with the virtual environment
LIBRARIES = ("", ".Core", ".Tabular", ".Tabular.Json")
RoundTrip: TypeAlias = Callable[[dict[Path, str]], tuple[dict[Path, str], dict[str, Any], str]]


def fetch(place: Path) -> None:
    """Fetch the library, by its hash, unless it is there; what is there is whole."""
    if place.exists():
        return
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        new = Path(folder, "new")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        pinned = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(LOCK)]
        done = subprocess.run([*pip, *pinned, "--target", str(new)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if not place.exists():  # another test process may have been faster
            new.rename(place)


@pytest.fixture(scope="module")
def round_trip(tmp_path_factory: pytest.TempPathFactory) -> RoundTrip:
    """Return a function that lets TOM load files of a model: what it wrote, the model as JSON, what it said."""
    for program in ("mcs", "mono"):
        assert shutil.which(program), f"{program} is missing; as root, python3 bootstrap.py test installs it"
    place = KEPT / LOCK.read_text(encoding="utf-8").rsplit("sha256:", 1)[1][:12]
    KEPT.mkdir(exist_ok=True)
    fetch(place)
    folder = tmp_path_factory.mktemp("tom")
    libraries = place / "pbi_cli/dlls"
    references = [f"-r:{libraries}/Microsoft.AnalysisServices{name}.dll" for name in LIBRARIES]
    compiled = folder / "powerbi_tom.exe"
    done = subprocess.run(
        ["mcs", "-nologo", "-warnaserror", f"-out:{compiled}", *references, str(HERE / "powerbi_tom.cs")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

    def run(files: dict[Path, str]) -> tuple[dict[Path, str], dict[str, Any], str]:
        given, written = Path(tempfile.mkdtemp(dir=folder)), Path(tempfile.mkdtemp(dir=folder))
        for path, text in files.items():
            if path.suffix == ".tmdl":
                (given / path).parent.mkdir(parents=True, exist_ok=True)
                (given / path).write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["mono", str(compiled), str(given / MODEL), str(written / MODEL)],
            env={**os.environ, "MONO_PATH": str(libraries)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == bool(done.stderr), f"{done.returncode}: {done.stderr}"
        return powerbi.files(written), json.loads(done.stdout or "{}").get("model", {}), done.stderr

    return run


def tmdl() -> dict[Path, str]:
    """Return the files of the model."""
    return {path: text for path, text in powerbi.files().items() if path.suffix == ".tmdl"}


def test_model_loads_and_is_written_as_it_is(round_trip: RoundTrip) -> None:
    written, model, said = round_trip(tmdl())
    assert said == ""
    assert written == tmdl(), "Power BI Desktop would change these files when it saves"
    assert model["tables"]


def test_our_own_reading_is_microsofts(round_trip: RoundTrip) -> None:
    """What tests/powerbi.py reads from the files, by itself, is what TOM reads."""
    ours, (_, theirs, _) = Model.of(tmdl()), round_trip(tmdl())
    tables = {table["name"]: table for table in theirs["tables"]}
    assert tables.keys() == ours.tables.keys()
    for name, table in tables.items():
        own = ours.tables[name]
        assert table["description"] == own.node.description
        assert [(c["name"], c["dataType"], c["sourceColumn"], c["description"]) for c in table["columns"]] == [
            (n, c.get("dataType"), c.get("sourceColumn"), c.description) for n, c in own.columns.items()
        ]
        assert [(m["name"], m["expression"], m["description"]) for m in table.get("measures", [])] == [
            (n, m.value, m.description) for n, m in own.measures.items()
        ]
        assert {h["name"]: [level["column"] for level in h["levels"]] for h in table.get("hierarchies", [])} == (
            own.hierarchies
        )
        (partition,) = table["partitions"]
        assert partition["source"]["expression"] == own.query
    assert {((r["fromTable"], r["fromColumn"]), (r["toTable"], r["toColumn"])) for r in theirs["relationships"]} == set(
        ours.relationships
    )
    assert [
        (p["name"], p["filterExpression"]) for role in theirs["roles"] for p in role["tablePermissions"]
    ] == ours.permissions
    assert [e["name"] for e in theirs["expressions"]] == list(ours.expressions)


def test_model_is_what_analysts_were_promised(round_trip: RoundTrip) -> None:
    """Import, incremental refresh by month, two parameters for the server, a marked date table, a role."""
    _, model, _ = round_trip(tmdl())
    tables = {table["name"]: table for table in model["tables"]}
    assert {p["mode"] for table in model["tables"] for p in table["partitions"]} == {"import"}
    policy = tables["fact_sales"]["refreshPolicy"]
    assert (policy["incrementalGranularity"], policy["incrementalPeriods"]) == ("month", 2)
    assert tables["dim_date"]["dataCategory"] == "Time"
    assert [c["name"] for c in tables["dim_date"]["columns"] if c.get("isKey")] == ["Day"]
    assert all(c.get("isHidden") for c in tables["fact_sales"]["columns"])
    assert {c["summarizeBy"] for table in model["tables"] for c in table["columns"]} == {"none"}
    assert [role["name"] for role in model["roles"]] == ["Country"]
    parameters = {e["name"] for e in model["expressions"] if "IsParameterQuery = true" in e["expression"]}
    assert parameters == {"Server", "Database", "RangeStart", "RangeEnd"}
    assert len({r["fromColumn"] for r in model["relationships"] if r["fromTable"] == "fact_sales"}) == 3


def test_direct_query_is_one_word_a_table(round_trip: RoundTrip) -> None:
    """As docs/powerbi.md says: the mode changed, the refresh policy taken out; it is a model then too."""
    path = MODEL / "tables/fact_sales.tmdl"
    files = {path: text.replace("mode: import", "mode: directQuery") for path, text in tmdl().items()}
    head, rest = files[path].split("\trefreshPolicy\n")
    files[path] = head + rest[rest.index("\n\n") + 2 :]
    written, model, said = round_trip(files)
    assert (said, written) == ("", files)
    assert {p["mode"] for table in model["tables"] for p in table["partitions"]} == {"directQuery"}
    assert not any("refreshPolicy" in table for table in model["tables"])


@pytest.mark.parametrize(
    ("file", "old", "new", "finding"),
    [
        ("tables/fact_sales.tmdl", "formatString", "formattString", "formattString"),
        ("tables/fact_sales.tmdl", "\tmeasure Units", "measure Units", "measure"),
        ("tables/fact_sales.tmdl", "policyType: basic", "policyType: none", "none"),
        ("tables/fact_sales.tmdl", "dataType: int64", "dataType: bigint", "bigint"),
        (
            "tables/dim_date.tmdl",
            "sortByColumn: 'Month number'",
            "sortByColumn: Number",
            "'Month' in table 'dim_date']::[SortByColumn]",
        ),
        ("tables/dim_date.tmdl", "column: Quarter", "column: Quart", "Quart"),
        ("relationships.tmdl", "dim_date.Day", "dim_date.Date", "::[ToColumn]"),
        ("roles/Country.tmdl", "tablePermission dim_customer", "tablePermission customers", "customers"),
        ("model.tmdl", "ref table dim_date", "ref tabel dim_date", "tabel"),
    ],
)
def test_a_broken_model_is_refused(round_trip: RoundTrip, file: str, old: str, new: str, finding: str) -> None:
    files = tmdl()
    assert old in files[MODEL / file]
    _, _, said = round_trip({**files, MODEL / file: files[MODEL / file].replace(old, new, 1)})
    assert finding in said
