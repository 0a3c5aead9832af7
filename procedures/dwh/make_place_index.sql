-- requires: dwh.is_place_index_deferred, etl.share_index
-- Contract: makes the index by which equal sales are found in dwh.fact_sales, where a first load of the pipeline has left it
-- out (dwh.defer_place_index). Readers go on meanwhile, other publishes wait.
create or replace function dwh.make_place_index(p_pipeline text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_partition regclass;
  v_shared regclass[] := array[]::regclass[];
begin
  lock table only dwh.fact_sales in share row exclusive mode;
  if dwh.is_place_index_deferred(p_pipeline) then -- nobody else has made it meanwhile
    for v_partition in select i.inhrelid::regclass from pg_inherits i where i.inhparent = 'dwh.fact_sales'::regclass order by i.inhrelid loop
      if etl.share_index(v_partition) then
        v_shared := array_append(v_shared, v_partition);
      end if;
    end loop;
    create index fact_sales_place_idx on dwh.fact_sales
      (((sale_key & -4294967296) | (hashint8(customer_id)::bigint & 4294967295)), product_id);
    perform etl.share_index(s.partition, true) from unnest(v_shared) s (partition);
    perform etl.analyze_table(i.inhrelid::regclass) from pg_inherits i where i.inhparent = 'dwh.fact_sales'::regclass;
  end if;
end
$$;

comment on function dwh.make_place_index(text) is
  'Makes the index by which equal sales are found, if the facts of the pipeline lack it. Internal.';
revoke all on function dwh.make_place_index(text) from public;
