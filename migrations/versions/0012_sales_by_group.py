"""Sales by day, country and product group, so that the dashboard costs the same however many products there are."""

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
"""

DOWNGRADE = r"""
drop table dwh.sales_by_group cascade;
update etl.step
set stages = array_remove(stages, 'stg.product')
where pipeline = 'sales' and step = 'sales_aggregates' and routine = 'dwh.load_sales_aggregates';
drop function if exists dwh.load_sales_by_group();
"""


def upgrade() -> None:
    """Make the aggregate and fill it from the finer one."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Drop it."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
