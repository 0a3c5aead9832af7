"""Change sets that cost less to write: a small index, and new rows of tables without a key that come straight from the log."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# A change set that stands beside a copy is called _written meanwhile.
CHANGE_SETS = r"""
    select r.relation, i.indexrelid::regclass as index, c.conname
    from etl.source_table t
    cross join lateral (values (to_regclass(format('stg.%I', t.mirror || '_changes'))), (to_regclass(format('stg.%I', t.mirror || '_written')))) r (relation)
    join pg_index i on i.indrelid = r.relation
    left join pg_constraint c on c.conindid = i.indexrelid
"""

UPGRADE = f"""
comment on column etl.source_table.partition_tree is 'Mode log: the table, or the partitions of a partitioned one, at the last capture.';
drop function if exists mrr.collect_changes(etl.source_table);
drop function if exists mrr.decode_query(integer, "char"[], boolean);
do $$
declare
    v_set record;
begin
    for v_set in {CHANGE_SETS} where c.contype = 'p' loop
        execute format('alter table %s drop constraint %I', v_set.relation, v_set.conname);
        execute format('create index on %s using brin (_hr_batch)', v_set.relation);
    end loop;
end
$$;
"""

DOWNGRADE = f"""
comment on column etl.source_table.partition_tree is 'Mode log: the partitions of a partitioned table at the last capture.';
drop function if exists mrr.collect_changes(etl.source_table, bigint);
drop function if exists mrr.decode_query(integer, "char"[], boolean, bigint);
drop function if exists mrr.typed_list(etl.source_table, text[], text);
drop function if exists mrr.count_kinds();
do $$
declare
    v_set record;
begin
    for v_set in {CHANGE_SETS} loop
        execute format('drop index %s', v_set.index);
        execute format('alter table %s add primary key (_hr_batch, _hr_seq)', v_set.relation);
    end loop;
end
$$;
"""


def upgrade() -> None:
    """Index the change sets by their batches alone."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Number their rows by a key again."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
