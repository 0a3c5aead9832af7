-- requires: dwh.add_inferred_members
-- Contract: gives the sales of a new partition of dwh.fact_sales, not yet attached, that found no customer or product an inferred one, where
-- nobody knows it, and its key. Returns how many still have none.
-- Of a first load these are few, found by one reading of what is already written; to look for the keys before it takes a join for each dimension.
create or replace function dwh.complete_sales_partition(p_partition text, p_batch bigint, p_origin bigint)
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
    create temporary table headrace_unknown on commit drop as
    select distinct i.source, i.customer_id as member
    from pg_temp.headrace_incomplete i
    left join dwh.dim_customer d on d.source = i.source and d.customer_id = i.customer_id
    where d.source is null;
    perform dwh.add_inferred_members('dwh.dim_customer', 'stg.sale', p_batch);
    create temporary table headrace_unknown on commit drop as
    select distinct i.source, i.product_id as member
    from pg_temp.headrace_incomplete i
    left join dwh.dim_product d on d.source = i.source and d.product_id = i.product_id
    where d.source is null;
    perform dwh.add_inferred_members('dwh.dim_product', 'stg.sale', p_batch);
    execute format(
      'update %s f set customer_key = c.customer_key, product_key = p.product_key'
      ' from pg_temp.headrace_incomplete i'
      ' join dwh.dim_customer c on c.source = i.source and c.customer_id = i.customer_id and c.batch_from <= $1 and $1 < c.batch_to'
      ' join dwh.dim_product p on p.source = i.source and p.product_id = i.product_id and p.batch_from <= $1 and $1 < p.batch_to'
      ' where f.ctid = i.place', p_partition::regclass)
      using p_origin;
    get diagnostics v_completed = row_count;
  end if;
  drop table pg_temp.headrace_incomplete;
  return v_incomplete - v_completed;
end
$$;

comment on function dwh.complete_sales_partition(text, bigint, bigint) is
  'Adds the inferred customers and products that the sales of the new partition p_partition lack, of batch p_batch, first captured by p_origin; returns how many sales still lack one. Internal.';
revoke all on function dwh.complete_sales_partition(text, bigint, bigint) from public;
