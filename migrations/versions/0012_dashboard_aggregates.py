"""Aggregates that the dashboard shows: sales by product group, and facts of own models by day."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UPGRADE = r"""
create table dwh.sales_by_group (
    product_group text not null,
    captured_on date not null,
    country text not null,
    lines bigint not null,
    units bigint not null,
    constraint sales_by_group_pkey primary key (product_group, captured_on, country),
    constraint sales_by_group_lines_check check (lines > 0)
);
comment on table dwh.sales_by_group is 'fact_sales by day, country and product group; kept up to date by every publish.';
comment on column dwh.sales_by_group.product_group is 'Group of the product when the sale was captured, or (unknown).';
comment on column dwh.sales_by_group.captured_on is 'Day.';
comment on column dwh.sales_by_group.country is 'Country of the customer when the sale was captured, or (unknown).';
comment on column dwh.sales_by_group.lines is 'Number of sales.';
comment on column dwh.sales_by_group.units is 'Units sold.';
insert into dwh.sales_by_group (product_group, captured_on, country, lines, units)
select coalesce(p.product_group, '(unknown)'), d.captured_on, d.country, sum(d.lines), sum(d.units)
from dwh.sales_by_day d
left join dwh.dim_product p on p.product_key = d.product_key
group by 1, 2, 3;
-- An inferred product that its own row completes changes its group, with or without a sale in the same batch.
update etl.step
set stages = stages || '{stg.product}'
where pipeline = 'sales' and step = 'sales_aggregates' and routine = 'dwh.load_sales_aggregates' and not stages @> '{stg.product}';

alter table etl.fact add column measures text[] default '{}'::text[] not null;
comment on column etl.fact.measures is 'Columns whose sums by day the dashboard shows.';
drop procedure if exists etl.add_fact(text, text, text[], text[]);
create table dwh.facts_by_day (
    fact text not null,
    captured_on date not null,
    measure text not null,
    total numeric not null,
    constraint facts_by_day_pkey primary key (fact, captured_on, measure)
);
comment on table dwh.facts_by_day is 'Facts that etl.add_fact() registered, by day; kept up to date by every publish. Read dwh.metric_fact.';
comment on column dwh.facts_by_day.fact is 'Table of the facts.';
comment on column dwh.facts_by_day.captured_on is 'Day.';
comment on column dwh.facts_by_day.measure is 'Column that is summed; empty for the number of rows.';
comment on column dwh.facts_by_day.total is 'The sum, or the number of rows.';
do $$
declare
    v_fact text;
begin
    for v_fact in select f.fact from etl.fact f where to_regclass(f.fact) is not null
    loop
        execute format('insert into dwh.facts_by_day (fact, captured_on, measure, total)'
                       ' select %L, f.captured_on, %L, count(*) from %s f group by 2', v_fact, '', v_fact::regclass);
    end loop;
end
$$;
"""

DOWNGRADE = r"""
drop function if exists dwh.recount_facts(etl.fact);
drop function if exists dwh.note_facts(etl.fact, text, integer);
drop table dwh.facts_by_day cascade;
drop procedure if exists etl.add_fact(text, text, text[], text[], text[]);
alter table etl.fact drop column measures;
drop table dwh.sales_by_group cascade;
update etl.step
set stages = array_remove(stages, 'stg.product')
where pipeline = 'sales' and step = 'sales_aggregates' and routine = 'dwh.load_sales_aggregates';
drop function if exists dwh.load_sales_by_group();
"""


def upgrade() -> None:
    """Make the aggregates and fill them from what is there."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Drop them."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
