"""Where tables live on a cluster of Citus."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UPGRADE = r"""
create table etl.layout (
    relation text not null,
    kind text not null,
    distribution_column text,
    constraint layout_pkey primary key (relation),
    constraint layout_kind_check check (kind in ('distributed', 'reference', 'local')),
    constraint layout_column_check check ((kind = 'distributed') = (distribution_column is not null))
);
comment on table etl.layout is 'Where tables live on a cluster of Citus; without the extension it has no effect. etl.apply_layout() brings it about; tables that are not named stay on the coordinator.';
comment on column etl.layout.relation is 'Table, schema.name.';
comment on column etl.layout.kind is 'distributed over the workers, reference: whole on every node, or local: on the coordinator alone.';
comment on column etl.layout.distribution_column is 'Column whose hash tells the shard, part of the primary key; null unless distributed.';
insert into etl.layout (relation, kind, distribution_column)
values ('dwh.fact_sales', 'distributed', 'customer_id'),
       ('dwh.dim_customer', 'reference', null),
       ('dwh.dim_product', 'reference', null),
       ('dwh.dim_date', 'reference', null);
insert into etl.layout (relation, kind, distribution_column)
select format('mrr.%I', t.mirror), case when d.name is null then 'local' else 'distributed' end, d.name
from etl.source_table t
cross join lateral (
  select case when t.key_columns is null then '_hr_id' else (
    select c.column_name
    from etl.source_column c
    where c.source_table_id = t.source_table_id and c.column_name = any (t.key_columns)
      and c.mirror_type ~ '^(smallint|integer|bigint|text|character varying.*|uuid|date|timestamp.*)$'
    order by array_position(t.key_columns, c.column_name)
    limit 1) end) d (name);
grant select on etl.layout to headrace_monitor;
"""

DOWNGRADE = r"""
drop table etl.layout cascade;
"""


def upgrade() -> None:
    """Register where the sample's tables, and the mirrors that are there, live."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Forget it; what is distributed stays so."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
