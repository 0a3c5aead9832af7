"""Facts that are found by the generation that they are of, so that a change run adds to small parts of indexes."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# In blocks, since Citus hands a command on to its workers with all of the text that it came in; one shard after the other,
# or no routine could be made in the same transaction.
UPGRADE = r"""
do $$
begin
    if to_regclass('dwh.fact_sales') is null then
        return; -- dropped by hand
    end if;
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true) from pg_extension e where e.extname = 'citus';
    alter table dwh.fact_sales drop constraint fact_sales_pkey;
    alter table dwh.fact_sales add constraint fact_sales_pkey primary key (sale_key, captured_on, customer_id);
    create index fact_sales_place_idx on dwh.fact_sales
        (((sale_key & -4294967296) | (hashint8(customer_id)::bigint & 4294967295)), product_id);
    comment on table dwh.fact_sales is 'One row per sale. Partitioned by month of captured_on. Equal sales are found by customer and product, within generations of 2^32 numbers.';
end
$$;
-- Most lines of an aggregate change again and again: with room in its page a line's index entry can stay.
alter table if exists dwh.sales_by_day set (fillfactor = 70);
drop function if exists mrr.decode_query(integer, boolean);
drop function if exists mrr.typed_changes(etl.source_table, text[], text, text, text, boolean);
"""

DOWNGRADE = r"""
do $$
declare
    v_table record;
begin
    if to_regprocedure('etl.row_image(integer, text)') is null then
        return; -- of what has no routines nothing was loaded
    end if;
    for v_table in
        select format('mrr.%I', t.mirror)::regclass as relation, '_hr_id' as number, '_hr_hash' as hash, etl.row_image(t.source_table_id, 'r') as image
        from etl.source_table t where t.key_columns is null
        union all
        select f.fact::regclass, 'fact_key', 'row_hash', format('row(%s)::text collate "C"', dwh.name_list(etl.fact_columns(f), 'r.%I'))
        from etl.fact f where f.key_columns is null and to_regclass(f.fact) is not null
    loop
        execute format('with fresh as (select r.%2$I as number, r.%3$I as old, hashtextextended(%4$s, 0) as hash from %1$s r where r.%2$I >= 4294967296)'
                       ' update %1$s r set %3$I = f.hash from fresh f where r.%2$I = f.number and r.%3$I = f.old',
                       v_table.relation, v_table.number, v_table.hash, v_table.image);
    end loop;
end
$$;
alter table if exists dwh.sales_by_day reset (fillfactor);
do $$
begin
    if to_regclass('dwh.fact_sales') is null then
        return;
    end if;
    perform set_config('citus.multi_shard_modify_mode', 'sequential', true) from pg_extension e where e.extname = 'citus';
    drop index if exists dwh.fact_sales_place_idx;
    alter table dwh.fact_sales drop constraint fact_sales_pkey;
    alter table dwh.fact_sales add constraint fact_sales_pkey primary key (customer_id, product_id, captured_on, sale_key);
    comment on table dwh.fact_sales is 'One row per sale. Partitioned by month of captured_on; one index serves as primary key and finds equal sales.';
end
$$;
drop function if exists mrr.decode_query(integer, "char"[], boolean);
drop function if exists mrr.typed_changes(etl.source_table, text[], text, text, text, boolean, text);
drop function if exists etl.has_changes(text, text, bigint);
drop function if exists etl.is_settled(text);
drop function if exists etl.table_shapes(text, text);
drop function if exists dwh.sales_of_customer(bigint);
drop function if exists etl.begin_generation(regclass, bigint);
drop function if exists etl.newest_generation(regclass);
drop function if exists etl.number_sequence(regclass);
drop function if exists etl.generations(regclass);
drop function if exists etl.placed_hash(bigint, bigint);
"""


def upgrade() -> None:
    """Index the facts anew: readers of them wait meanwhile."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Find rows of all generations as those of the first."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
