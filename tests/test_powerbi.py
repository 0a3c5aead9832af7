"""The Power BI project: its files fit Microsoft's schemas, the model, the report and the database fit each other.

DAX is not evaluated here. What the measures say is written again as SQL, over what the model imports, joined as its
relationships say, and compared with the metric views. That the DAX is still the one this was written for is checked.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from tests import powerbi
from tests.conftest import ROOT, SAMPLE, register
from tests.powerbi import MODEL, REPORT, Model
from tests.support import Database, Row

SCHEMAS = ROOT.parent / "shared/powerbi-schemas"
ADDRESS = "https://developer.microsoft.com/json-schemas/"
TABLES = MODEL / "tables"
CARD = REPORT / "pages/overview/visuals/units_card/visual.json"
PHONE = CARD.with_name("mobile.json")
TABLE = REPORT / "pages/products/visuals/products_table/visual.json"
BAR = REPORT / "pages/products/visuals/top_products/visual.json"


def with_change(path: Path, old: str, new: str) -> dict[Path, str]:
    """Return the files of the project with a fault planted."""
    files = powerbi.files()
    assert old in files[path], f"{path} does not say {old}"
    return {**files, path: files[path].replace(old, new)}


# ---------------------------------------------------------------------------------------------------------------------
# Microsoft's schemas
# ---------------------------------------------------------------------------------------------------------------------
@functools.cache
def schema(address: str) -> Resource[Any]:
    """Return a schema of Microsoft's, from the copy."""
    assert address.startswith(ADDRESS), address
    text = (SCHEMAS / address.removeprefix(ADDRESS)).read_text(encoding="utf-8-sig")
    return Resource.from_contents(json.loads(text), default_specification=DRAFT7)


def schema_findings(files: dict[Path, str]) -> Iterator[str]:
    """Yield what in the project's JSON is not as the schema that the file names has it."""
    registry: Registry[Any] = Registry(retrieve=schema)  # type: ignore[call-arg]
    for path, text in files.items():
        if path.suffix == ".tmdl" or path == powerbi.THEME:
            continue
        document = json.loads(text)
        validator = jsonschema.Draft7Validator(schema(document["$schema"]).contents, registry=registry)
        yield from (f"{path}: {e.json_path}: {e.message}" for e in validator.iter_errors(document))


needs_schemas = pytest.mark.skipif(not SCHEMAS.exists(), reason="Microsoft's JSON schemas are not in ../shared")


@needs_schemas
def test_json_fits_the_schemas() -> None:
    files = powerbi.files()
    assert len([path for path in files if path.name == "visual.json"]) > 50
    assert list(schema_findings(files)) == []


@needs_schemas
@pytest.mark.parametrize(
    ("path", "old", "new", "finding"),
    [
        (CARD, '"tabOrder"', '"taborder"', "'taborder' was unexpected"),
        (CARD, '"queryState"', '"querystate"', "'querystate' was unexpected"),
        (CARD, '"Measure"', '"Messure"', "'Messure' was unexpected"),
        (TABLE, '"Descending"', '"Down"', "'Down' is not valid"),
        (BAR, '"Version": 2', '"Version": 3', "2 was expected"),
        (REPORT / "report.json", '"page": "2.0.0"', '"page": "2"', "does not match"),
        (REPORT / "pages/overview/page.json", '"FitToPage"', '"Fit"', "'Fit' is not valid"),
        (REPORT / "pages/pages.json", '"overview",', "7,", "7 is not of type 'string'"),
        (REPORT.parent / "definition.pbir", '"byPath"', '"path"', "'path' was unexpected"),
        (REPORT.parent / ".platform", '"logicalId"', '"id"', "'logicalId' is a required property"),
        (MODEL.parent / "definition.pbism", '"version": "4.0",', "", "'version' is a required property"),
        (PHONE, '"position"', '"place"', "'position' is a required property"),
        (Path("Headrace.pbip"), '"artifacts"', '"artefacts"', "'artefacts' was unexpected"),
    ],
)
def test_json_that_does_not_fit_is_found(path: Path, old: str, new: str, finding: str) -> None:
    found = "\n".join(schema_findings({path: with_change(path, old, new)[path]}))
    assert finding in found


# ---------------------------------------------------------------------------------------------------------------------
# References
# ---------------------------------------------------------------------------------------------------------------------
def findings(files: dict[Path, str]) -> list[str]:
    """Return what in the project does not fit together."""
    model = Model.of(files)
    return [
        *powerbi.model_findings(model),
        *powerbi.report_findings(model, files),
        *powerbi.theme_findings(json.loads(files[powerbi.THEME])),
    ]


def test_model_and_report_fit_together() -> None:
    files = powerbi.files()
    assert findings(files) == []
    model = Model.of(files)
    assert {"dim_customer", "dim_product", "dim_date", "fact_sales"} <= model.tables.keys()
    assert len(model.measures) > 30
    named = {f for path, text in files.items() if REPORT in path.parents for f in powerbi.fields(json.loads(text), {})}
    assert {kind for kind, _, _ in named} == {"Column", "Measure", "HierarchyLevel"}
    assert len(named) > 60


@pytest.mark.parametrize(
    ("path", "old", "new", "finding"),
    [
        (TABLES / "fact_sales.tmdl", "SUM(fact_sales[qty])", "SUM(fact_sales[quantity])", "[quantity] is no column"),
        (TABLES / "fact_sales.tmdl", "DIVIDE([Units], [Lines])", "DIVIDE([Unit], [Lines])", "[Unit] is no measure"),
        (TABLES / "fact_sales.tmdl", "COUNTROWS(fact_sales)", "COUNTROWS(sales)", "sales is no table"),
        (TABLES / "fact_sales.tmdl", "COUNTROWS(fact_sales)", "COUNTROWS(fact_sales", "parentheses do not match"),
        (TABLES / "fact_sales.tmdl", "<= LastSale", "<= LatestSale", "LatestSale is no table and no variable"),
        (TABLES / "fact_sales.tmdl", "[@Units]", "[@Lines]", "[@Lines] is no measure"),
        (TABLES / "fact_sales.tmdl", "measure Lines", "measure Units", "two measures are called Units"),
        (TABLES / "fact_sales.tmdl", '"qty", "captured_at"', '"captured_at", "qty"', "its query selects"),
        (TABLES / "fact_sales.tmdl", "[captured_at] >= Start", "[sold_at] >= Start", "reads [sold_at], which"),
        (TABLES / "fact_sales.tmdl", "sourceExpression =\n", "sourceExpression =\n\t\t\t// No.\n", "policy loads"),
        (MODEL / "expressions.tmdl", "expression RangeEnd", "expression RangeStop", "not use the parameter RangeEnd"),
        (MODEL / "expressions.tmdl", "expression Server", "expression Host", "Warehouse: Server is no step"),
        (MODEL / "expressions.tmdl", "expression Warehouse", "expression Dwh", "query calls Warehouse, which"),
        (TABLES / "metric_run.tmdl", "FirstN(Table.Sort(Columns", "FirstN(Table.Sort(Sorted", "its query calls Sorted"),
        (TABLES / "dim_date.tmdl", "sortByColumn: 'Month number'", "sortByColumn: No", "is sorted by No, which is no"),
        (TABLES / "dim_date.tmdl", "\t\t\tcolumn: Year", "\t\t\tcolumn: Annum", "Calendar has no Annum"),
        (MODEL / "relationships.tmdl", "dim_date.Day", "dim_date.Date", "dim_date[Date], which is no column"),
        (MODEL / "roles/Country.tmdl", "dim_customer[Country]", "dim_customer[Land]", "[Land] is no column"),
        (MODEL / "roles/Country.tmdl", "country_access =", "access =", "a role filters access, which is no table"),
        (CARD, '"Property": "Units"', '"Property": "Unit"', "Measure fact_sales[Unit] is not in the model"),
        (CARD, '"queryRef": "fact_sales.Units"', '"queryRef": "x.Units"', "x.Units refers to fact_sales.Units"),
        (CARD, '"name": "units_card"', '"name": "card"', "units_card is called card"),
        (CARD, '"Data": {', '"Values": {', "a cardVisual has no role Values"),
        (CARD, '"x": 24', '"x": 25', "units_card is off the grid"),
        (CARD, '"x": 24', '"x": 64', "overlap"),
        (CARD, '"x": 24', '"x": 1200', "units_card is outside of the page"),
        (PHONE, '"x": 0', '"x": 20', "on a phone: lines_card and units_card overlap"),
        (PHONE, '"x": 0', '"x": 200', "overview on a phone: units_card is outside of the page"),
        (CARD, '"altText"', '"alternative"', "units_card has no alternative text"),
        (CARD, '"text"', '"words"', "units_card has no title"),
        (CARD, '"tabOrder": 4000', '"tabOrder": 0', "two visuals have the same tab order"),
        (CARD, '"tabOrder": 4000', '"tabOrder": 900000', "does not go from top to bottom"),
        (TABLE, '"Property": "Product"', '"Property": "Produce"', "Column dim_product[Produce] is not in the model"),
        (BAR, '"Entity": "dim_product"', '"Entity": "products"', "products[Product] is not in the model"),
        (BAR, '"Source": "m"', '"Source": "n"', "Measure ?n[Units] is not in the model"),
        (BAR, "top_products_filter", "top_customers_filter", "two filters are called top_customers_filter"),
        (
            REPORT / "pages/overview/visuals/units_by_country/visual.json",
            '"Level": "Country"',
            '"Level": "Land"',
            "HierarchyLevel dim_customer[Customers by country.Land] is not in the model",
        ),
        (REPORT / "pages/pages.json", '"customers"', '"clients"', "its pages are not those of the folders"),
        (REPORT / "report.json", '"path": "Headrace.json"', '"path": "Theme.json"', "Theme.json is not there"),
        (REPORT / "report.json", '"Headrace.json",\n          "path"', '"x",\n          "path"', "is in no package"),
        (
            REPORT / "pages/product_detail/page.json",
            '"boundFilter": "product',
            '"boundFilter": "products',
            "its binding names the filter products_detail_filter",
        ),
        (powerbi.THEME, '"foreground": "#1F2A37"', '"foreground": "#8FB8D0"', "foreground on #FFFFFF"),
        (powerbi.THEME, '"#B45309"', '"#FDE68A"', "#FDE68A on #FFFFFF"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found(path: Path, old: str, new: str, finding: str) -> None:
    assert finding in "\n".join(findings(with_change(path, old, new)))


def test_a_visual_that_a_phone_does_not_show_is_found() -> None:
    files = powerbi.files()
    del files[PHONE]
    assert findings(files) == ["overview on a phone: units_card is not there"]


# ---------------------------------------------------------------------------------------------------------------------
# A warehouse
# ---------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def shop(
    cloned_operational: Callable[[], AbstractContextManager[Database]],
    cloned_warehouse: Callable[[], AbstractContextManager[Database]],
) -> Iterator[Database]:
    """Yield a warehouse with a year of sales, and what happens to customers and products in a year.

    What the model imports is there as temporary views: one per table, and ``sold``, the facts with what the model's
    relationships bring to them. Tests take back what they change.
    """
    with cloned_operational() as op, cloned_warehouse() as wh:
        flow = register(op, wh, *SAMPLE)
        op.execute("call public.generate(rows => 3000, seed => 7)")
        flow.run()
        op.execute(YEAR_AT_THE_SOURCE)
        flow.run()
        wh.execute(YEAR_IN_THE_WAREHOUSE)
        import_model(wh)
        yield wh


YEAR_AT_THE_SOURCE = """
    update public.customers set country = 'Norway' where id % 5 = 0;
    update public.customers set name = name || ' jr.', country = null where id = 7;
    update public.products set name = 'The ' || name where id % 3 = 0;
    update public.products set groupname = 'Odds' where id % 4 = 0;
    delete from public.customers where id = 9;
    delete from public.products where id = 5;
    delete from public.sales where qty > 6;
    insert into public.sales select n % 40, n % 25, 1 + n % 3 from generate_series(1, 600) n;
"""
YEAR_IN_THE_WAREHOUSE = """
    create temporary table moved as
    select sale_key, captured_on - (sale_key % 300)::int as day, make_interval(days => (sale_key % 300)::int) as by
    from dwh.fact_sales;
    select dwh.ensure_partition('dwh.fact_sales', d.day), dwh.fill_dim_date(d.day)
    from (select distinct day from moved) d;
    update dwh.fact_sales f set captured_on = m.day, captured_at = f.captured_at - m.by
    from moved m where m.sale_key = f.sale_key;
    select dwh.recount_sales();
"""


def import_model(wh: Database) -> None:
    """Make the views of what the model imports."""
    model = Model.of(powerbi.files())
    for name, table in model.tables.items():
        wh.execute(f"create temporary view {name} as {table.sql}")
    joins = "\n".join(
        f'join {to} on {to}."{to_column}" = fact_sales."{column}"'
        for (table, column), (to, to_column) in model.relationships
        if table == "fact_sales"
    )
    columns = [
        f'{name}."{column}"'
        for name in ("dim_date", "dim_customer", "dim_product")
        for column in model.tables[name].columns
        if not column.endswith("_key")
    ]
    wh.execute(f"create temporary view sold as select {', '.join(columns)}, qty from fact_sales {joins}")


# ---------------------------------------------------------------------------------------------------------------------
# The database
# ---------------------------------------------------------------------------------------------------------------------
def comments(warehouse: Database) -> powerbi.Comments:
    """Return what the database says of its tables and columns."""
    printed = warehouse.query((powerbi.PROJECT / "comments.sql").read_text(encoding="utf-8"))
    return powerbi.read_comments(json.dumps(row) for (row,) in printed)


def with_faults(database: Database, faults: Iterable[str]) -> Iterator[str]:
    """Yield faults, each while it is in the database, and take it away again."""
    for fault in faults:
        with database.connection.transaction(force_rollback=True):
            database.execute(fault)
            yield fault


def test_every_column_is_one_of_the_database(shop: Database) -> None:
    """It has the type and the comment that the database has, and headrace_reader may read it."""
    files = powerbi.files()
    model = Model.of(files)
    assert list(powerbi.database_findings(model, comments(shop))) == []
    with shop.connect("headrace_reader") as reader:
        for table in model.tables.values():
            reader.execute(f"{table.sql} limit 0".encode())


def test_a_column_that_is_not_of_the_database_is_found(shop: Database) -> None:
    model = Model.of(powerbi.files())
    faults = {
        "comment on column dwh.fact_sales.qty is 'Pieces.'": "description of fact_sales[qty] is not the comment of",
        "comment on table dwh.dim_date is 'Days.'": "the description of dim_date is not the comment of dwh.dim_date",
        "alter table dwh.dim_date rename quarter to q": "is dwh.dim_date.quarter, which is not there",
        "drop view pg_temp.dim_date cascade; alter table dwh.dim_date alter iso_week type text": "is a int64, dwh",
        "drop table dwh.country_access cascade": "country_access is loaded from dwh.country_access, which is not there",
    }
    for fault in with_faults(shop, faults):
        assert faults[fault] in "\n".join(powerbi.database_findings(model, comments(shop)))


def test_descriptions_are_renewed(shop: Database, tmp_path: Path) -> None:
    """A changed comment, of two lines too, comes into the file, and nothing else changes there."""
    project = shutil.copytree(powerbi.PROJECT, tmp_path / "powerbi")
    assert powerbi.renew(comments(shop), project) == []
    change = (
        "comment on column dwh.dim_date.year is E'The year.\\nOf the calendar.'; comment on table dwh.dim_date is null"
    )
    for _ in with_faults(shop, [change]):
        assert powerbi.renew(comments(shop), project) == [TABLES / "dim_date.tmdl"]
    text, new = (files[TABLES / "dim_date.tmdl"] for files in (powerbi.files(), powerbi.files(project)))
    gone = "/// The date dimension: every day of each year that has facts.\n"
    assert gone in text
    assert new == text.replace(gone, "").replace("\t/// Year.\n", "\t/// The year.\n\t/// Of the calendar.\n")
    (table,) = powerbi.parse(new).children
    assert next(c for c in table.all("column") if c.name == "Year").description == "The year.\nOf the calendar."


def test_reading_the_database_needs_a_right(shop: Database) -> None:
    """The check that headrace_reader may read all of it can fail."""
    table = Model.of(powerbi.files()).tables["country_access"]
    for _ in with_faults(
        shop, ["revoke select on dwh.country_access from headrace_reader; set local role headrace_reader"]
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shop.query(table.sql)


# ---------------------------------------------------------------------------------------------------------------------
# Numbers
# ---------------------------------------------------------------------------------------------------------------------
# What a measure means in SQL over the imported rows, and the DAX that this was written for.
SUMS = {"Units": ("SUM(fact_sales[qty])", "sum(qty)"), "Lines": ("COUNTROWS(fact_sales)", "count(*)")}
POPULAR = """
VAR Sold =
	ADDCOLUMNS(
		SUMMARIZE(fact_sales, dim_product[Product source], dim_product[Product id], dim_product[Product]),
		"@Units", [Units]
	)
RETURN
	MAXX(TOPN(1, Sold, [@Units], DESC, dim_product[Product], ASC), dim_product[Product])
"""
NEW = """
IF(
	ISCROSSFILTERED(dim_date),
	CALCULATE(COUNTROWS(dim_customer), TREATAS(VALUES(dim_date[Day]), dim_customer[New on])),
	CALCULATE(COUNTROWS(dim_customer), NOT ISBLANK(dim_customer[New on]))
)
"""
RANK = """
IF(
	ISINSCOPE(dim_product[Product]) && NOT ISBLANK([Units]),
	RANKX(
		ALLSELECTED(dim_product[Product]),
		CALCULATE([Units], ALLSELECTED(dim_product[Product group])),
		,
		DESC,
		Skip
	)
)
"""
POPULAR_SQL = """
select "Product" from sold where {} group by "Product source", "Product id", "Product"
order by sum(qty) desc, "Product" limit 1
"""


def differences(wh: Database, mine: str, theirs: str) -> list[Row]:
    """Return the rows that only one of two queries has."""
    return wh.query(
        f"(select 'model', m.* from ({mine}) m except all select 'model', t.* from ({theirs}) t)"
        f" union all (select 'view', t.* from ({theirs}) t except all select 'view', m.* from ({mine}) m)"
    )


BY_ALL = '"Day", "Country", "Product group", "Product source", "Product id", "Product"'
SOLD = f"select {BY_ALL}, {{}}, {{}} from sold group by {BY_ALL}".format(
    *(f"{SUMS[name][1]}::bigint" for name in ("Lines", "Units"))
)
METRIC_SALES = """
select day, country, product_group, source, product_id, product, sum(lines)::bigint, sum(units)::bigint
from dwh.metric_sales group by 1, 2, 3, 4, 5, 6
"""


def test_measures_agree_with_the_metric_views(shop: Database) -> None:
    """Units, lines, rank, the most popular product and new customers are those of the views, at every grain."""
    measures = Model.of(powerbi.files()).measures
    for name, (dax, _) in SUMS.items():
        assert measures[name].value == dax, f"the SQL of [{name}] was written for another DAX"
    for name, dax in (("Most popular product", POPULAR), ("New customers", NEW), ("Product rank", RANK)):
        assert measures[name].value == dax.strip(), f"the SQL of [{name}] was written for another DAX"
    wh = shop
    assert wh.value('select count(distinct "Day") > 200 and count(distinct "Country") > 5 from sold')
    assert wh.value("select count(*) from sold") == wh.value("select count(*) from dwh.fact_sales")
    assert differences(wh, SOLD, METRIC_SALES) == []

    ranked = f"""
        select "Product source", "Product id", "Product", {SUMS["Lines"][1]}::bigint, {SUMS["Units"][1]}::bigint,
               rank() over (order by {SUMS["Units"][1]} desc)
        from sold group by 1, 2, 3"""
    assert (
        differences(wh, ranked, "select source, product_id, product, lines, units, rank from dwh.metric_product") == []
    )

    new = 'select "New on", "Country", count(*) from dim_customer where "New on" is not null group by 1, 2'
    assert differences(wh, new, "select day, country, customers from dwh.metric_new_customers") == []
    assert wh.value("select sum(customers) from dwh.metric_new_customers") > 20

    for column, argument in (("Country", "country"), ("Product group", "product_group")):
        for (value,) in wh.query(f'select distinct "{column}" from sold where "{column}" <> \'(unknown)\''):
            assert wh.query(POPULAR_SQL.format(f'"{column}" = %s'), [value]) == wh.query(
                f"select dwh.most_popular_product({argument} => %s)", [value]
            )
    assert wh.query(POPULAR_SQL.format("true")) == wh.query("select dwh.most_popular_product()")
    for days in ((100, 50), (290, 280)):
        first, last = wh.row("select max(day) - %s, max(day) - %s from dwh.metric_sales", days)
        popular = wh.query(POPULAR_SQL.format('"Day" between %s and %s'), [first, last])
        assert popular == wh.query("select dwh.most_popular_product(first_day => %s, last_day => %s)", [first, last])
        assert popular
    missing = 'select sum("Table rows") from metric_layer where "Table" = \'dwh.fact_sales\''
    assert wh.value(missing) == wh.value("select count(*) from fact_sales")


# What the web page calls a dimension, over the imported rows.
PAGE_DIMENSIONS = {
    "day": '"Day"::text',
    "country": '"Country"',
    "group": '"Product group"',
    "product": """format('%s:%s', "Product source", "Product id") || ' ' || "Product\"""",
}


def page_cells(cube: dict[str, Any]) -> list[Row]:
    """Return the cells of a cube of the web page: values of its dimensions, lines, units."""
    values = {
        name: [item if isinstance(item, str) else " ".join(item) for item in cube["values"][name]]
        for name in cube["dims"]
    }
    return sorted(
        (*(values[name][cube["columns"][name][at]] for name in cube["dims"]), lines, units)
        for at, (lines, units) in enumerate(zip(cube["lines"], cube["units"], strict=True))
    )


@pytest.mark.parametrize(
    ("chosen", "condition"),
    [
        ({}, "true"),
        ({"countries": ["Norway", "France"]}, "\"Country\" in ('Norway', 'France')"),
        ({"groups": ["Odds"], "products": ["op:4"]}, '"Product group" = \'Odds\' and "Product id" = 4'),
    ],
)
def test_web_page_shows_the_same(shop: Database, chosen: dict[str, list[str]], condition: str) -> None:
    """Units and lines by each dimension are what the web page asks the warehouse for, filtered or not."""
    for dims in (*([name] for name in PAGE_DIMENSIONS), ["country", "group"], list(PAGE_DIMENSIONS), []):
        cube = shop.value("select dwh.dashboard_cube(%s, 'day', %s::text::jsonb, null)", [dims, json.dumps(chosen)])
        columns = ", ".join(
            (*(PAGE_DIMENSIONS[name] for name in dims), SUMS["Lines"][1], SUMS["Units"][1] + "::bigint")
        )
        group = f"group by {', '.join(str(at + 1) for at in range(len(dims)))}" if dims else ""
        expected = sorted(shop.query(f"select {columns} from sold where {condition} {group}"))
        assert page_cells(cube) == expected
        assert expected[0][-1] > 0


def test_numbers_that_differ_are_found(shop: Database) -> None:
    faults = (
        "delete from dwh.fact_sales where sale_key = (select min(sale_key) from dwh.fact_sales)",
        "update dwh.fact_sales set qty = qty + 1 where sale_key = (select min(sale_key) from dwh.fact_sales)",
        "update dwh.dim_customer set country = 'Nowhere' where customer_id = 1",
        "update dwh.sales_by_day set units = units + 1 where country = 'France'",
    )
    for _ in with_faults(shop, faults):
        assert differences(shop, SOLD, METRIC_SALES) != []
    assert differences(shop, SOLD, METRIC_SALES) == []


def key_findings(wh: Database, model: Model) -> Iterator[str]:
    """Yield what Power BI would refuse to load, and facts without a dimension."""
    for (table, column), (to, to_column) in model.relationships:
        if wh.value(f'select count(*) <> count(distinct "{to_column}") from {to}'):
            yield f"{to}[{to_column}] is no key"
        if table == "fact_sales" and wh.value(
            f'select exists (select "{column}" from {table} except select "{to_column}" from {to})'
        ):
            yield f"{table}[{column}] has values that {to}[{to_column}] has not"
    for name, table_ in model.tables.items():
        for column, node in table_.columns.items():
            by = powerbi.unquoted(node.get("sortByColumn"))
            if by and wh.query(f'select from {name} group by "{column}" having count(distinct "{by}") > 1'):
                yield f"{name}[{column}] has two places in the order by {by}"


def test_keys_and_orders_are_such(shop: Database) -> None:
    """What the relationships point at is unique, every fact finds its dimensions, and sorted columns have one order."""
    wh, model = shop, Model.of(powerbi.files())
    assert list(key_findings(wh, model)) == []
    infinite = " union all ".join(
        f"select '{name}.{source}' from {table.relation} where {source} in ('infinity', '-infinity')"
        for name, table in model.tables.items()
        for column, source in table.sources.items()
        if table.columns[column].get("dataType") == "dateTime"
    )
    assert wh.query(infinite) == [], "drivers cannot read infinity"
    faults = {
        "delete from dwh.dim_date where day_of_month = 3": "fact_sales[captured_on] has values",
        "update dwh.dim_date set month_name = 'May' where month = 4": "dim_date[Month] has two places",
        "alter table dwh.dim_product drop constraint dim_product_pkey, alter product_key drop identity;"
        " update dwh.dim_product set product_key = 1": "dim_product[product_key] is no key",
    }
    for fault in with_faults(wh, faults):
        assert faults[fault] in "\n".join(key_findings(wh, model))


# The rows of a period, as the M of fact_sales takes them, whatever the time zones; days first, which prunes partitions.
PERIOD = """
captured_on >= (%(start)s::timestamp)::date - 1 and captured_on <= (%(end)s::timestamp)::date + 1
and captured_at >= %(start)s::timestamp at time zone 'UTC' and captured_at < %(end)s::timestamp at time zone 'UTC'
"""
PERIOD_M = (
    "FirstDay = Date.AddDays(DateTime.Date(RangeStart), -1),",
    "LastDay = Date.AddDays(DateTime.Date(RangeEnd), 1),",
    "Months = Table.SelectRows(Columns, each [captured_on] >= FirstDay and [captured_on] <= LastDay),",
    "Rows = Table.SelectRows(Months, each [captured_at] >= Start and [captured_at] < End)",
)


def test_every_sale_is_in_one_period(shop: Database) -> None:
    """Months after each other load each sale once, also where the day of capture is another than the day in UTC."""
    query = Model.of(powerbi.files()).tables["fact_sales"].query
    for line in PERIOD_M:
        assert line in query, "PERIOD was written for another M"
    moves = [
        f"""
        select dwh.ensure_partition('dwh.fact_sales', d::date)
        from generate_series('2025-12-01', '2026-09-01', interval '1 month') d;
        update dwh.fact_sales set (captured_at, captured_on) = (
            select t, (t at time zone '{zone}')::date
            from (select '2026-01-01 00:00+00'::timestamptz + sale_key % 500 * interval '9.7 hours' as t) x)
        """
        for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago")
    ]
    for _ in with_faults(shop, moves):
        counts = [
            shop.value(
                f"select count(*) from dwh.fact_sales where {PERIOD}",
                {"start": f"2026-{month:02}-01", "end": f"2026-{month + 1:02}-01"},
            )
            for month in range(1, 9)
        ]
        assert sum(counts) == shop.value("select count(*) from dwh.fact_sales") > 1000
        assert all(counts[:6])


def test_role_shows_the_countries_of_a_person(shop: Database) -> None:
    """The filter of dim_customer, as SQL: whoever is listed for a country sees all of its sales and nothing else."""
    filters = dict(Model.of(powerbi.files()).permissions)
    assert "country_access[login] = USERPRINCIPALNAME()" in filters["dim_customer"]
    assert filters["country_access"] == "country_access[login] = USERPRINCIPALNAME()"
    seen = """
        select "Country", sum(qty)::bigint from sold
        where "Country" in (select country from country_access where login = 'ada@example.com') group by 1"""
    known = "select country, sum(units)::bigint from dwh.metric_sales where country = 'Norway' group by 1"
    listed = "insert into dwh.country_access values ('ada@example.com', 'Norway'), ('bo@example.com', 'France')"
    for _ in with_faults(shop, [listed]):
        assert differences(shop, seen, known) == []
        assert shop.value(f"select count(*) from ({seen}) s") == 1


def test_a_file_that_is_no_tmdl_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2 is no TMDL"):
        powerbi.parse("table x\n\t=== no\n")
