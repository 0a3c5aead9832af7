"""The warehouse's identity and settings, and the registry rows of the sample star."""

from __future__ import annotations

from migrations.script import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROWS = r"""
set local role headrace_owner;

insert into etl.warehouse (warehouse_id, system_identifier, database_oid)
select encode(etl_ext.gen_random_bytes(4), 'hex'), c.system_identifier, d.oid
from pg_control_system() c, pg_database d
where d.datname = current_database()
on conflict do nothing;

insert into etl.settings default values on conflict do nothing;

insert into etl.secret (secret, value) values ('mask', etl_ext.gen_random_bytes(32)) on conflict do nothing;

insert into etl.pipeline (pipeline) values ('sales') on conflict do nothing;

insert into etl.stage (stage, mirror)
values ('stg.customer', 'customers'), ('stg.product', 'products'), ('stg.sale', 'sales')
on conflict do nothing;

insert into etl.dimension (dimension, stage, surrogate_key, business_key, attributes)
values ('dwh.dim_customer', 'stg.customer', 'customer_key', 'customer_id', '{name,country}'),
       ('dwh.dim_product', 'stg.product', 'product_key', 'product_id', '{name,product_group}')
on conflict do nothing;

insert into etl.step (pipeline, step, routine, target, stages, depends_on)
values ('sales', 'judge', 'stg.judge', 'stg.quarantine', '{stg.customer,stg.product,stg.sale}', '{}'),
       ('sales', 'dim_customer', 'dwh.load_dimension', 'dwh.dim_customer', '{stg.customer}', '{judge}'),
       ('sales', 'dim_product', 'dwh.load_dimension', 'dwh.dim_product', '{stg.product}', '{judge}'),
       ('sales', 'fact_sales', 'dwh.load_fact_sales', 'dwh.fact_sales', '{stg.sale,stg.customer}', '{dim_customer,dim_product}'),
       ('sales', 'sales_aggregates', 'dwh.load_sales_aggregates', 'dwh.sales_by_day', '{stg.sale,stg.customer}', '{fact_sales}')
on conflict do nothing;

reset role;
"""


def upgrade() -> None:
    """Write the rows, save those that are there already."""
    run(ROWS)


def downgrade() -> None:
    """Leave the rows: the log and the batches refer to them, and they go with their tables."""
