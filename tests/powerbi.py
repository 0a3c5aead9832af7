"""What the Power BI project says, read as text, and the checks on it that need neither Power BI nor a database.

``python -m tests.powerbi`` renews the descriptions in the model from what ``dashboard/powerbi/comments.sql`` prints.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

PROJECT = Path(__file__).resolve().parent.parent / "dashboard/powerbi"
MODEL = Path("Headrace.SemanticModel/definition")
REPORT = Path("Headrace.Report/definition")
THEME = Path("Headrace.Report/StaticResources/RegisteredResources/Headrace.json")
Files: TypeAlias = Mapping[Path, str]  # of the project, by their paths in it
Comments: TypeAlias = Mapping[
    tuple[str, str | None], tuple[str | None, str | None]
]  # type and comment of table, column

# The type in the model of what the database has as.
TYPES = {
    "bigint": "int64",
    "integer": "int64",
    "text": "string",
    "boolean": "boolean",
    "date": "dateTime",
    "timestamp with time zone": "dateTime",
    "double precision": "double",
}

NAME = r"(?:'(?:[^']|'')*'|\w[\w-]*)"
SOURCE = re.compile(r'Warehouse\{\[Schema = "(\w+)", Item = "(\w+)"\]\}\[Data\]')
SELECTED = re.compile(r"Table\.SelectColumns\(Source, \{([^}]*)\}\)")
DAX_NOISE = re.compile(r'--[^\n]*|//[^\n]*|/\*.*?\*/|"(?:[^"]|"")*"', re.DOTALL)
DAX_FIELD = re.compile(rf"({NAME})?\[([^\]]+)\]")
DAX_WORDS = {"VAR", "RETURN", "IN", "NOT", "TRUE", "FALSE", "ASC", "DESC", "SKIP", "DENSE", "DAY", "MONTH", "YEAR"}
# Capitalised words of M that are no function of a library, no field and no name that is given: steps, other queries.
M_NAME = re.compile(r"(?<![\w.\[\"])([A-Z]\w*)\b(?![.\"]| = )")
M_NOISE = re.compile(r'"(?:[^"]|"")*"|//[^\n]*')
GRID = 8
PHONE = 324  # width of the phone's canvas
# What the visuals that the report uses draw; a field in another role is not shown.
ROLES = {
    "actionButton": set(),
    "cardVisual": {"Data"},
    "clusteredBarChart": {"Category", "Series", "Y"},
    "clusteredColumnChart": {"Category", "Series", "Y"},
    "lineChart": {"Category", "Series", "Y"},
    "pivotTable": {"Rows", "Columns", "Values"},
    "slicer": {"Values"},
    "tableEx": {"Values"},
    "textbox": set(),
}


# ---------------------------------------------------------------------------------------------------------------------
# TMDL
# ---------------------------------------------------------------------------------------------------------------------
@dataclass
class Node:
    """A line of TMDL with what is indented below it: an object, or a property."""

    kind: str
    name: str
    value: str
    line: int
    description: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, kind: str) -> Iterator[Node]:
        """Yield its children of a kind."""
        return (child for child in self.children if child.kind == kind)

    def get(self, kind: str, default: str = "") -> str:
        """Return the value of a property."""
        return next((child.value for child in self.all(kind)), default)

    def has(self, kind: str) -> bool:
        """Tell whether a property or flag is there."""
        return any(self.all(kind))


def unquoted(name: str) -> str:
    """Return a name without TMDL's or DAX's quotes."""
    return name[1:-1].replace("''", "'") if name.startswith("'") else name


def depth(line: str) -> int:
    """Return how many tabs a line begins with."""
    return len(line) - len(line.lstrip("\t"))


HEADER = re.compile(rf"(?P<kind>(?:ref )?\w+)(?: (?P<name>{NAME}(?:\.{NAME})?))?(?: *(?P<sign>[:=]) *(?P<value>.*))?")


def expression(lines: list[str], start: int, above: int) -> tuple[str, int]:
    """Return the block that begins at a line and is indented more than what it belongs to, and where it ends."""
    inner = max(above + 1, depth(next((line for line in lines[start:] if line.strip()), "")))
    end = start
    while end < len(lines) and (not lines[end].strip() or depth(lines[end]) >= inner):
        end += 1
    return textwrap.dedent("\n".join(lines[start:end])).strip("\n").rstrip(), end


def parse(text: str) -> Node:
    """Return the objects of a file. An expression is the more deeply indented block below a line that ends in =."""
    root = Node("file", "", "", 0)
    open_nodes = [(-1, root)]
    description: list[str] = []
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line, number = lines[number], number + 1
        if not line.strip():
            continue
        if line.strip().startswith("///"):
            description.append(line.strip()[3:].strip())
            continue
        here = depth(line)
        match = HEADER.fullmatch(line.strip())
        if not match:
            raise ValueError(f"line {number} is no TMDL: {line}")
        first = number
        value = (match["value"] or "").strip()
        if match["sign"] == "=" and not value:
            value, number = expression(lines, number, here)
        node = Node(match["kind"], unquoted(match["name"] or ""), value, first, "\n".join(description))
        description = []
        while open_nodes[-1][0] >= here:
            open_nodes.pop()
        open_nodes[-1][1].children.append(node)
        open_nodes.append((here, node))
    return root


@dataclass
class Table:
    """A table of the model; columns and measures by name."""

    node: Node
    columns: dict[str, Node]
    measures: dict[str, Node]
    hierarchies: dict[str, list[str]]

    @property
    def query(self) -> str:
        """The M that loads it."""
        (partition,) = self.node.all("partition")
        return partition.get("source")

    @property
    def relation(self) -> str:
        """Table or view of the database that it is loaded from."""
        found = SOURCE.search(self.query)
        return f"{found[1]}.{found[2]}" if found else ""

    @property
    def sources(self) -> dict[str, str]:
        """The database's column of each of its columns."""
        return {name: column.get("sourceColumn") for name, column in self.columns.items()}

    @property
    def sql(self) -> str:
        """What it loads, as SQL: the columns under their names in the model."""
        return "select {} from {}".format(
            ", ".join(f'{source} as "{name}"' for name, source in self.sources.items()), self.relation
        )


@dataclass
class Model:
    """The semantic model."""

    tables: dict[str, Table]
    relationships: list[tuple[tuple[str, str], tuple[str, str]]]
    permissions: list[tuple[str, str]]
    expressions: dict[str, str]

    @classmethod
    def of(cls, files: Files) -> Model:
        """Read it from the files of the project."""
        roots = [parse(text) for path, text in files.items() if path.suffix == ".tmdl"]
        nodes = [node for root in roots for node in root.children]
        tables = {
            node.name: Table(
                node,
                {column.name: column for column in node.all("column")},
                {measure.name: measure for measure in node.all("measure")},
                {h.name: [unquoted(level.get("column")) for level in h.all("level")] for h in node.all("hierarchy")},
            )
            for node in nodes
            if node.kind == "table"
        }
        return cls(
            tables,
            [(end(n.get("fromColumn")), end(n.get("toColumn"))) for n in nodes if n.kind == "relationship"],
            [(p.name, p.value) for role in nodes if role.kind == "role" for p in role.all("tablePermission")],
            {node.name: node.value for node in nodes if node.kind == "expression"},
        )

    @property
    def measures(self) -> dict[str, Node]:
        """All measures, by name."""
        return {name: node for table in self.tables.values() for name, node in table.measures.items()}


def end(reference: str) -> tuple[str, str]:
    """Return table and column of one end of a relationship."""
    found = re.fullmatch(rf"({NAME})\.({NAME})", reference)
    assert found, reference
    return unquoted(found[1]), unquoted(found[2])


# ---------------------------------------------------------------------------------------------------------------------
# The model agrees with itself
# ---------------------------------------------------------------------------------------------------------------------
def dax_findings(model: Model, dax: str) -> Iterator[str]:
    """Yield what a DAX expression names that is not there."""
    made = set(re.findall(r'"(@[^"]*)"', dax))
    code = DAX_NOISE.sub('""', dax)
    if code.count("(") != code.count(")"):
        yield "its parentheses do not match"
    for table, name in DAX_FIELD.findall(code):
        if table and name not in getattr(model.tables.get(unquoted(table)), "columns", {}):
            yield f"{unquoted(table)}[{name}] is no column"
        if not table and name not in model.measures and name not in made:
            yield f"[{name}] is no measure"
    rest = DAX_FIELD.sub(" ", code)
    variables = set(re.findall(r"\bVAR\s+(\w+)", rest))
    for quoted, word, call in re.findall(r"'((?:[^']|'')*)'|\b([A-Za-z_]\w*)\b(\s*\()?", rest):
        name = quoted or word
        if not call and name.upper() not in DAX_WORDS and name not in variables and name not in model.tables:
            yield f"{name} is no table and no variable"


def model_findings(model: Model) -> Iterator[str]:
    """Yield what in the model does not fit together."""
    names = [measure.name for table in model.tables.values() for measure in table.node.all("measure")]
    yield from (f"two measures are called {name}" for name in set(names) if names.count(name) > 1)
    for name, table in model.tables.items():
        yield from (f"{name}: {finding}" for finding in query_findings(model, table))
        yield from table_findings(model, name, table)
    for side in itertools.chain.from_iterable(model.relationships):
        if side[0] not in model.tables or side[1] not in model.tables[side[0]].columns:
            yield f"a relationship has {side[0]}[{side[1]}], which is no column"
    for name, dax in model.permissions:
        if name not in model.tables:
            yield f"a role filters {name}, which is no table"
        yield from (f"the filter of {name}: {finding}" for finding in dax_findings(model, dax))
    for name, query in model.expressions.items():
        yield from (f"{name}: {word} is no step and no query" for word in unknown_words(model, query))


def table_findings(model: Model, name: str, table: Table) -> Iterator[str]:
    """Yield what in a table's measures, columns and hierarchies does not fit together."""
    for measure, node in table.measures.items():
        yield from (f"[{measure}]: {finding}" for finding in dax_findings(model, node.value))
        if not node.description or not node.has("displayFolder") or measure in table.columns:
            yield f"[{measure}] has no description, no folder, or the name of a column"
    for column, node in table.columns.items():
        if (by := unquoted(node.get("sortByColumn"))) and by not in table.columns:
            yield f"{name}[{column}] is sorted by {by}, which is no column"
    for hierarchy, levels in table.hierarchies.items():
        yield from (f"{name}: {hierarchy} has no {level}" for level in levels if level not in table.columns)


def unknown_words(model: Model, query: str) -> set[str]:
    """Return what a piece of M calls by a name that it does not make and that is no other query."""
    steps = re.findall(r"^\s*(\w+) =", query, re.MULTILINE)
    return set(M_NAME.findall(M_NOISE.sub("", SOURCE.sub("Warehouse", query)))) - {*steps, *model.expressions}


def query_findings(model: Model, table: Table) -> Iterator[str]:
    """Yield what in a table's M does not fit its columns, or the rest of the model."""
    yield from (f"its query calls {word}, which is no step and no query" for word in unknown_words(model, table.query))
    if not table.relation:
        yield "its query names no table of the warehouse"
    selected = SELECTED.search(table.query)
    columns = re.findall(r'"(\w+)"', selected[1]) if selected else []
    if columns != list(table.sources.values()):
        yield f"its query selects {columns}, its columns are {list(table.sources.values())}"
    steps = set(re.findall(r"^\s*(\w+) =", table.query, re.MULTILINE))
    used = set(re.findall(r"\[(\w+)\]", SOURCE.sub("", table.query)))
    yield from (f"its query reads [{column}], which it did not select" for column in used - {*columns, *steps})
    for policy in table.node.all("refreshPolicy"):
        if policy.get("sourceExpression") != table.query:
            yield "its refresh policy loads something else than its partition"
        for name in ("RangeStart", "RangeEnd"):
            if name not in table.query or name not in model.expressions:
                yield f"it is refreshed by period and does not use the parameter {name}"


# ---------------------------------------------------------------------------------------------------------------------
# The model agrees with the database
# ---------------------------------------------------------------------------------------------------------------------
def read_comments(lines: Iterable[str]) -> Comments:
    """Return what ``comments.sql`` printed."""
    rows = [json.loads(line) for line in lines if line.strip()]
    return {(row["table"], row["column"]): (row["type"], row["comment"]) for row in rows}


def database_findings(model: Model, comments: Comments) -> Iterator[str]:
    """Yield the columns that the database does not have, or has as something else, and stale descriptions."""
    for name, table in model.tables.items():
        if (table.relation, None) not in comments:
            yield f"{name} is loaded from {table.relation}, which is not there"
            continue
        if table.node.description != comments[table.relation, None][1]:
            yield f"the description of {name} is not the comment of {table.relation}"
        for column, node in table.columns.items():
            source = f"{table.relation}.{node.get('sourceColumn')}"
            kind, comment = comments.get((table.relation, node.get("sourceColumn")), (None, None))
            if kind is None:
                yield f"{name}[{column}] is {source}, which is not there"
            elif TYPES.get(kind) != node.get("dataType"):
                yield f"{name}[{column}] is a {node.get('dataType')}, {source} a {kind}"
            elif node.description != comment:
                yield f"the description of {name}[{column}] is not the comment of {source}"


def described(text: str, comments: Comments) -> str:
    """Return a file of the model with the descriptions of its table and columns taken from the comments."""
    lines = text.split("\n")
    for node in parse(text).children:
        if node.kind != "table":
            continue
        relation = Model.of({Path("x.tmdl"): text}).tables[node.name].relation
        wanted = {node.line: (relation, None)} | {
            column.line: (relation, column.get("sourceColumn")) for column in node.all("column")
        }
        for line in sorted(wanted, reverse=True):
            comment = comments.get(wanted[line], (None, None))[1]
            start = line - 1
            while start and lines[start - 1].strip().startswith("///"):
                start -= 1
            tabs = "\t" * depth(lines[line - 1])
            lines[start : line - 1] = [f"{tabs}/// {part}" for part in (comment or "").splitlines()]
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------------------
# The report agrees with the model
# ---------------------------------------------------------------------------------------------------------------------
Field: TypeAlias = tuple[str, str, str]  # kind, table, name; of a hierarchy's level the name is hierarchy.level


def fields(part: Any, aliases: Mapping[str, str]) -> Iterator[Field]:
    """Yield every field that a part of a report names; aliases are those of the query that it stands in."""
    if isinstance(part, list):
        for item in part:
            yield from fields(item, aliases)
    if not isinstance(part, dict):
        return
    if isinstance(part.get("From"), list):
        own = {source["Name"]: source["Entity"] for source in part["From"] if "Entity" in source}
        aliases = {**aliases, **own}
    for kind in ("Column", "Measure"):
        if kind in part:
            yield kind, entity(part[kind]["Expression"], aliases), part[kind]["Property"]
    if level := part.get("HierarchyLevel"):
        hierarchy = level["Expression"]["Hierarchy"]
        table = entity(hierarchy["Expression"], aliases)
        yield "HierarchyLevel", table, f"{hierarchy['Hierarchy']}.{level['Level']}"
    for key, value in part.items():
        if key not in {"Column", "Measure", "HierarchyLevel"}:
            yield from fields(value, aliases)


def entity(source: dict[str, Any], aliases: Mapping[str, str]) -> str:
    """Return the table that a source reference means."""
    reference = source["SourceRef"]
    return reference.get("Entity") or aliases.get(reference["Source"], f"?{reference['Source']}")


def is_field(model: Model, kind: str, table: str, name: str) -> bool:
    """Tell whether the model has a field."""
    if table not in model.tables:
        return False
    known = model.tables[table]
    if kind == "HierarchyLevel":
        hierarchy, level = name.split(".")
        return level in known.hierarchies.get(hierarchy, [])
    return name in (known.columns if kind == "Column" else known.measures)


def report_findings(model: Model, files: Files) -> Iterator[str]:
    """Yield the fields that the model does not have, and what in the report does not fit together."""
    documents = {path: json.loads(text) for path, text in files.items() if path.is_relative_to(REPORT)}
    for path, document in documents.items():
        for kind, table, name in fields(document, {}):
            if not is_field(model, kind, table, name):
                yield f"{path}: {kind} {table}[{name}] is not in the model"
        yield from (f"{path}: {finding}" for finding in projection_findings(document))
    pages = {path.parent.name: document for path, document in documents.items() if path.name == "page.json"}
    yield from resource_findings(documents[REPORT / "report.json"], files)
    order = documents[REPORT / "pages/pages.json"]
    if sorted(order["pageOrder"]) != sorted(pages) or order["activePageName"] not in pages:
        yield "pages.json: its pages are not those of the folders"
    filters = [f for document in documents.values() for f in document.get("filterConfig", {}).get("filters", [])]
    filter_names = [f["name"] for f in filters]
    yield from (f"two filters are called {name}" for name in set(filter_names) if filter_names.count(name) > 1)
    for name, page in pages.items():
        folder = REPORT / "pages" / name / "visuals"
        on_page = {path: document for path, document in documents.items() if folder in path.parents}
        visuals = {path.parent.name: doc for path, doc in on_page.items() if path.name == "visual.json"}
        phone = {path.parent.name: doc["position"] for path, doc in on_page.items() if path.name == "mobile.json"}
        yield from (f"{name}: {finding}" for finding in page_findings(name, page, visuals))
        yield from (f"{name} on a phone: {finding}" for finding in layout_findings(PHONE, None, phone, 1))
        yield from (f"{name} on a phone: {visual} is not there" for visual in visuals.keys() - phone.keys())


def resource_findings(report: dict[str, Any], files: Files) -> Iterator[str]:
    """Yield the files that the report uses and does not have: Power BI Desktop would not open it."""
    items = {
        item["name"]: f"{REPORT.parent}/StaticResources/{package['name']}/{item['path']}"
        for package in report["resourcePackages"]
        for item in package["items"]
    }
    yield from (f"{path} is not there" for path in items.values() if Path(path) not in files)
    themes = (theme["name"] for theme in report["themeCollection"].values())
    yield from (f"the theme {name} is in no package" for name in themes if name not in items)


def projection_findings(document: dict[str, Any]) -> Iterator[str]:
    """Yield the roles that a visual does not have, and the references that are not the name of their field."""
    visual = document.get("visual", {})
    for role, state in visual.get("query", {}).get("queryState", {}).items():
        if role not in ROLES.get(visual["visualType"], set()):
            yield f"a {visual['visualType']} has no role {role}"
        for projection in state["projections"]:
            ((_, table, name),) = fields(projection["field"], {})
            if projection["queryRef"] != f"{table}.{name}":
                yield f"{projection['queryRef']} refers to {table}.{name}"


def page_findings(name: str, page: dict[str, Any], visuals: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Yield what of a page is amiss: names, bindings, layout, accessibility."""
    if page["name"] != name or not visuals:
        yield f"its name is {page['name']}, and it has {len(visuals)} visuals"
    for binding in page.get("pageBinding", {}).get("parameters", []):
        if binding["boundFilter"] not in {f["name"] for f in page["filterConfig"]["filters"]}:
            yield f"its binding names the filter {binding['boundFilter']}, which it does not have"
    for folder, visual in visuals.items():
        if visual["name"] != folder or not re.fullmatch(r"[\w-]{1,50}", folder):
            yield f"{folder} is called {visual['name']}, or has a name that Power BI passes over"
        container = visual["visual"]["visualContainerObjects"]
        if not text_of(container, "general", "altText"):
            yield f"{folder} has no alternative text"
        if visual["visual"]["visualType"] not in {"textbox", "actionButton"} and not text_of(
            container, "title", "text"
        ):
            yield f"{folder} has no title"
    positions = {folder: visual["position"] for folder, visual in visuals.items()}
    yield from layout_findings(page["width"], page["height"], positions, GRID)


def layout_findings(
    width: int, height: int | None, positions: Mapping[str, dict[str, int]], grid: int
) -> Iterator[str]:
    """Yield the visuals that are off the grid, outside of the page, on top of each other, or reached out of turn."""
    boxes = {
        folder: (at["x"], at["y"], at["x"] + at["width"], at["y"] + at["height"]) for folder, at in positions.items()
    }
    for folder, (left, top, right, bottom) in boxes.items():
        if any(edge % grid for edge in (left, top, right, bottom)):
            yield f"{folder} is off the grid"
        if left < 0 or top < 0 or right > width or bottom > (height or bottom):
            yield f"{folder} is outside of the page"
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
            yield f"{one} and {other} overlap"
    stops = sorted(positions, key=lambda folder: positions[folder]["tabOrder"])
    if len({at["tabOrder"] for at in positions.values()}) < len(positions):
        yield "two visuals have the same tab order"
    if [boxes[folder][1] for folder in stops] != sorted(box[1] for box in boxes.values()):
        yield "the tab order does not go from top to bottom"


def text_of(container: dict[str, Any], kind: str, name: str) -> str:
    """Return a literal text of a visual's container, empty where there is none."""
    for part in container.get(kind, []):
        if literal := part["properties"].get(name, {}).get("expr", {}).get("Literal"):
            return str(literal["Value"]).strip("'")
    return ""


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG 2 reckons it."""

    def luminance(colour: str) -> float:
        parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def theme_findings(theme: dict[str, Any]) -> Iterator[str]:
    """Yield the colours of a theme that stand out too little: text below 4.5, marks below 3."""
    for ground in (theme["background"], theme["backgroundLight"]):
        for name in ("foreground", "foregroundNeutralSecondary", "hyperlink", "good", "neutral", "bad"):
            if contrast(theme[name], ground) < 4.5:
                yield f"{name} on {ground}"
        yield from (f"{colour} on {ground}" for colour in theme["dataColors"] if contrast(colour, ground) < 3)


# ---------------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------------
def files(project: Path = PROJECT) -> dict[Path, str]:
    """Return the text of every file of the project that Power BI reads."""
    return {
        path.relative_to(project): path.read_text(encoding="utf-8")
        for path in sorted(project.rglob("*"))
        if path.is_file()
        and (path.suffix in {".json", ".tmdl", ".pbip", ".pbir", ".pbism"} or path.name == ".platform")
    }


def renew(comments: Comments, project: Path = PROJECT) -> list[Path]:
    """Bring the descriptions in the model up to the comments; return the files that changed."""
    changed = []
    for path, text in files(project).items():
        if path.suffix == ".tmdl" and (new := described(text, comments)) != text:
            (project / path).write_text(new, encoding="utf-8")
            changed.append(path)
    return changed


def main() -> int:
    """Renew the descriptions in the model from the comments on standard input."""
    for path in renew(read_comments(sys.stdin)):
        print(f"renewed {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
