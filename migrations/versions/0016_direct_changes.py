"""New rows without a key: from the log straight into the change set, and together in the mirror; tables told by more than names."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UPGRADE = """
comment on column etl.source_table.partition_tree is 'Mode log: the table, or the partitions of a partitioned one, at the last capture.';
drop function if exists mrr.collect_changes(etl.source_table);
drop function if exists mrr.decode_query(integer, "char"[], boolean);
"""

# Of a table that has no partitions the revision before keeps nothing.
DOWNGRADE = """
update etl.source_table set partition_tree = null where partition_tree ~ '^[0-9]{1,10}$';
do $$
begin
    if to_regclass('dwh.fact_sales_place_idx') is null
       and exists (select from pg_attribute a where a.attrelid = to_regclass('dwh.fact_sales') and a.attname = 'sale_key') then
        create index fact_sales_place_idx on dwh.fact_sales
            (((sale_key & -4294967296) | (hashint8(customer_id)::bigint & 4294967295)), product_id);
    end if;
end
$$;
comment on column etl.source_table.partition_tree is 'Mode log: the partitions of a partitioned table at the last capture.';
drop function if exists mrr.collect_changes(etl.source_table, bigint);
drop function if exists mrr.decode_query(integer, "char"[], boolean, bigint);
drop function if exists mrr.typed_list(etl.source_table, text[], text);
drop function if exists mrr.count_kinds();
drop function if exists etl.keep_together(regclass, bigint);
drop function if exists dwh.note_partition(regclass);
drop function if exists dwh.make_place_index(text, bigint);
drop function if exists dwh.is_place_index_deferred(text);
drop function if exists dwh.defer_place_index(text);
"""


def upgrade() -> None:
    """Make room for the routines' new parameters."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Drop what only this revision has."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
