"""The Power BI project: its files fit Microsoft's schemas, the model, the report and the database fit each other.

DAX is not evaluated here. What the measures say is written again as SQL, over what the model imports, joined as its
relationships say, and compared with the metric views. That the DAX is still the one this was written for is checked.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from tests import powerbi
from tests.conftest import ROOT
from tests.powerbi import MODEL, REPORT, Model
from tests.support import Database, Flow, Row

SCHEMAS = ROOT.parent / "shared/powerbi-schemas"
ADDRESS = "https://developer.microsoft.com/json-schemas/"
TABLES = MODEL / "tables"
CARD = REPORT / "pages/overview/visuals/units_card/visual.json"
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
        (TABLES / "dim_date.tmdl", "sortByColumn: 'Month number'", "sortByColumn: No", "is sorted by No, which is no"),
        (TABLES / "dim_date.tmdl", "\t\t\tcolumn: Year", "\t\t\tcolumn: Annum", "Calendar has no Annum"),
        (MODEL / "relationships.tmdl", "dim_date.Day", "dim_date.Date", "dim_date[Date], which is no column"),
        (MODEL / "roles/Country.tmdl", "dim_customer[Country]", "dim_customer[Land]", "[Land] is no column"),
        (MODEL / "roles/Country.tmdl", "country_access =", "access =", "a role filters access, which is no table"),
        (CARD, '"Property": "Units"', '"Property": "Unit"', "Measure fact_sales[Unit] is not in the model"),
        (CARD, '"queryRef": "fact_sales.Units"', '"queryRef": "x.Units"', "x.Units refers to fact_sales.Units"),
        (CARD, '"name": "units_card"', '"name": "card"', "units_card is called card"),
        (CARD, '"x": 24', '"x": 25', "units_card is off the grid"),
        (CARD, '"x": 24', '"x": 64', "overlap"),
        (CARD, '"x": 24', '"x": 1200', "units_card is outside of the page"),
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


def test_every_column_is_one_of_the_database(warehouse: Database) -> None:
    """It has the type and the comment that the database has, and headrace_reader may read it."""
    files = powerbi.files()
    model = Model.of(files)
    said = comments(warehouse)
    assert list(powerbi.database_findings(model, said)) == []
    for path, text in files.items():
        assert path.suffix != ".tmdl" or powerbi.described(text, said) == text, f"{path}: renew its descriptions"
    with warehouse.connect("headrace_reader") as reader:
        for table in model.tables.values():
            reader.execute(f"{table.sql} limit 0".encode())


def test_a_column_that_is_not_of_the_database_is_found(warehouse: Database) -> None:
    model = Model.of(powerbi.files())
    faults = {
        "comment on column dwh.fact_sales.qty is 'Pieces.'": "description of fact_sales[qty] is not the comment of",
        "comment on table dwh.dim_date is 'Days.'": "the description of dim_date is not the comment of dwh.dim_date",
        "alter table dwh.dim_date rename quarter to q": "is dwh.dim_date.quarter, which is not there",
        "alter table dwh.dim_date alter iso_week type text": "[ISO week] is a int64, dwh.dim_date.iso_week a text",
        "drop table dwh.country_access": "country_access is loaded from dwh.country_access, which is not there",
    }
    for fault in with_faults(warehouse, faults):
        assert faults[fault] in "\n".join(powerbi.database_findings(model, comments(warehouse)))


def test_descriptions_are_renewed(warehouse: Database) -> None:
    """A changed comment, of two lines too, comes into the file, and nothing else changes there."""
    warehouse.execute("comment on column dwh.dim_date.year is E'The year.\\nOf the calendar.'")
    warehouse.execute("comment on table dwh.dim_date is null")
    text = powerbi.files()[TABLES / "dim_date.tmdl"]
    new = powerbi.described(text, comments(warehouse))
    gone = "/// The date dimension: every day of each year that has facts.\n"
    assert gone in text
    assert new == text.replace(gone, "").replace("\t/// Year.\n", "\t/// The year.\n\t/// Of the calendar.\n")
    (table,) = powerbi.parse(new).children
    assert next(c for c in table.all("column") if c.name == "Year").description == "The year.\nOf the calendar."


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


@pytest.fixture
def shop(sales: Flow) -> Flow:
    """Return a warehouse with a year of sales, and what happens to customers and products in a year."""
    op, wh = sales.operational, sales.warehouse
    op.execute("call public.generate(rows => 3000, seed => 7)")
    sales.run()
    op.execute(
        """
        update public.customers set country = 'Norway' where id % 5 = 0;
        update public.customers set name = name || ' jr.', country = null where id = 7;
        update public.products set name = 'The ' || name where id % 3 = 0;
        update public.products set groupname = 'Odds' where id % 4 = 0;
        delete from public.customers where id = 9;
        delete from public.products where id = 5;
        delete from public.sales where qty > 6;
        insert into public.sales select n % 40, n % 25, 1 + n % 3 from generate_series(1, 600) n;
        """
    )
    sales.run()
    wh.execute(
        """
        create temporary table moved as
        select sale_key, captured_on - (sale_key % 300)::int as day, make_interval(days => (sale_key % 300)::int) as by
        from dwh.fact_sales;
        select dwh.ensure_partition('dwh.fact_sales', d.day), dwh.fill_dim_date(d.day)
        from (select distinct day from moved) d;
        update dwh.fact_sales f set captured_on = m.day, captured_at = f.captured_at - m.by
        from moved m where m.sale_key = f.sale_key;
        select dwh.recount_sales()
        """
    )
    return sales


def imported(flow: Flow) -> Database:
    """Give the warehouse what the model imports, as temporary views.

    One per table, and ``sold``: the facts and what the relationships of the model bring to them.
    """
    wh, model = flow.warehouse, Model.of(powerbi.files())
    for name, table in model.tables.items():
        wh.execute(f"create or replace temporary view {name} as {table.sql}")
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
    wh.execute(f"create or replace temporary view sold as select {', '.join(columns)}, qty from fact_sales {joins}")
    return wh


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


def test_measures_agree_with_the_metric_views(shop: Flow) -> None:
    """Units, lines, rank, the most popular product and new customers are those of the views, at every grain."""
    measures = Model.of(powerbi.files()).measures
    for name, (dax, _) in SUMS.items():
        assert measures[name].value == dax, f"the SQL of [{name}] was written for another DAX"
    for name, dax in (("Most popular product", POPULAR), ("New customers", NEW), ("Product rank", RANK)):
        assert measures[name].value == dax.strip(), f"the SQL of [{name}] was written for another DAX"
    wh = imported(shop)
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
    march = "'2000-03-01'::date + 9000", "'2000-03-01'::date + 9999"
    assert wh.query(POPULAR_SQL.format(f'"Day" between {march[0]} and {march[1]}')) == wh.query(
        f"select * from dwh.most_popular_product(first_day => {march[0]}, last_day => {march[1]}) p where p is not null"
    )
    missing = 'select sum("Table rows") from metric_layer where "Table" = \'dwh.fact_sales\''
    assert wh.value(missing) == wh.value("select count(*) from fact_sales")


def test_numbers_that_differ_are_found(sales: Flow) -> None:
    sales.seed()
    sales.run()
    wh = imported(sales)
    faults = (
        "delete from dwh.fact_sales where sale_key = (select min(sale_key) from dwh.fact_sales)",
        "update dwh.fact_sales set qty = qty + 1 where sale_key = (select min(sale_key) from dwh.fact_sales)",
        "update dwh.dim_customer set country = 'Nowhere' where customer_id = 1",
        "update dwh.dim_product set name = 'Nothing' where product_id = 1 and is_current;"
        " update dwh.sales_by_day set units = units + 1 where country = 'GB'",
    )
    for _ in with_faults(wh, faults):
        assert differences(wh, SOLD, METRIC_SALES) != []
    assert differences(wh, SOLD, METRIC_SALES) == []


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


def test_keys_and_orders_are_such(shop: Flow) -> None:
    """What the relationships point at is unique, every fact finds its dimensions, and sorted columns have one order."""
    wh, model = imported(shop), Model.of(powerbi.files())
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


def test_every_sale_is_in_one_period(sales: Flow) -> None:
    """Months after each other load each sale once, also where the day of capture is another than the day in UTC."""
    query = Model.of(powerbi.files()).tables["fact_sales"].query
    for line in PERIOD_M:
        assert line in query, "PERIOD was written for another M"
    sales.operational.execute("insert into public.sales select 1, 1, 1 from generate_series(1, 500)")
    sales.run()
    wh = sales.warehouse
    wh.execute(
        "select dwh.ensure_partition('dwh.fact_sales', d::date)"
        " from generate_series('2025-12-01', '2026-08-01', interval '1 month') d"
    )
    for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
        wh.execute(
            "update dwh.fact_sales set (captured_at, captured_on) = (select t, (t at time zone %s)::date"
            " from (select '2026-01-01 00:00+00'::timestamptz + sale_key * interval '9.7 hours' as t) x)",
            [zone],
        )
        counts = [
            wh.value(
                f"select count(*) from dwh.fact_sales where {PERIOD}",
                {"start": f"2026-{month:02}-01", "end": f"2026-{month + 1:02}-01"},
            )
            for month in range(1, 9)
        ]
        assert sum(counts) == 500
        assert all(counts[:6])


def test_role_shows_the_countries_of_a_person(shop: Flow) -> None:
    """The filter of dim_customer, as SQL: whoever is listed for a country sees all of its sales and nothing else."""
    filters = dict(Model.of(powerbi.files()).permissions)
    assert "country_access[login] = USERPRINCIPALNAME()" in filters["dim_customer"]
    assert filters["country_access"] == "country_access[login] = USERPRINCIPALNAME()"
    wh = imported(shop)
    wh.execute("insert into dwh.country_access values ('ada@example.com', 'Norway'), ('bo@example.com', 'France')")
    seen = """
        select "Country", sum(qty)::bigint from sold
        where "Country" in (select country from country_access where login = 'ada@example.com') group by 1"""
    assert (
        differences(
            wh, seen, "select country, sum(units)::bigint from dwh.metric_sales where country = 'Norway' group by 1"
        )
        == []
    )
    assert wh.value(f"select count(*) from ({seen}) s") == 1


def test_a_file_that_is_no_tmdl_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2 is no TMDL"):
        powerbi.parse("table x\n\t=== no\n")


def test_reading_the_database_needs_a_right(warehouse: Database) -> None:
    """The check that headrace_reader may read all of it can fail."""
    table = Model.of(powerbi.files()).tables["country_access"]
    warehouse.execute("revoke select on dwh.country_access from headrace_reader")
    with warehouse.connect("headrace_reader") as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(table.sql.encode())
