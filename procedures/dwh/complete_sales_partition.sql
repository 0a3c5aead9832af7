-- requires: dwh.add_inferred_members
-- Contract: adds inferred members for the customers and products that the sales of a new partition of dwh.fact_sales, not yet attached, lack because
-- nobody knows them, and gives these sales their keys, if they are at most p_most. Returns how many still lack one.
-- Of a first load they are few, found by one reading of what is already written; to look for the keys before it takes a join for each dimension.
-- Invariant: they are deleted and inserted, not updated: an index that is made in the same transaction would be of no use to older
-- transactions, and to this one, where a row has a newer version on its page.
create or replace function dwh.complete_sales_partition(p_partition text, p_batch bigint, p_origin bigint, p_most bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_incomplete bigint;
  v_completed bigint := 0::bigint;
begin
  execute format(
    'create temporary table headrace_incomplete on commit drop as'
    ' select f.ctid as place, f.source, f.customer_id, f.product_id from %s f where f.customer_key is null or f.product_key is null', p_partition::regclass);
  get diagnostics v_incomplete = row_count;
  if v_incomplete > 0 then
    analyze pg_temp.headrace_incomplete;
    perform dwh.add_inferred_members('dwh.dim_customer', 'stg.sale', p_batch, 'pg_temp.headrace_incomplete');
    perform dwh.add_inferred_members('dwh.dim_product', 'stg.sale', p_batch, 'pg_temp.headrace_incomplete');
  end if;
  if v_incomplete between 1 and p_most then
    execute format(
      'with found as materialized ('
      '   select i.place, c.customer_key, p.product_key from pg_temp.headrace_incomplete i'
      '   join dwh.dim_customer c on c.source = i.source and c.customer_id = i.customer_id and c.batch_from <= $1 and $1 < c.batch_to'
      '   join dwh.dim_product p on p.source = i.source and p.product_id = i.product_id and p.batch_from <= $1 and $1 < p.batch_to),'
      ' gone as (delete from %1$s f using found n where f.ctid = n.place returning f.*, n.customer_key as customer, n.product_key as product)'
      ' insert into %1$s (sale_key, source, customer_id, product_id, customer_key, product_key, qty, captured_at, captured_on, batch_id)'
      ' select g.sale_key, g.source, g.customer_id, g.product_id, g.customer, g.product, g.qty, g.captured_at, g.captured_on, g.batch_id from gone g',
      p_partition::regclass)
      using p_origin;
    get diagnostics v_completed = row_count;
  end if;
  drop table pg_temp.headrace_incomplete;
  return v_incomplete - v_completed;
end
$$;

comment on function dwh.complete_sales_partition(text, bigint, bigint, bigint) is
  'Adds the inferred customers and products that the sales of the new partition p_partition lack, of batch p_batch, first captured by p_origin, and completes these sales if they are at most p_most; returns how many still lack one. Internal.';
revoke all on function dwh.complete_sales_partition(text, bigint, bigint, bigint) from public;
