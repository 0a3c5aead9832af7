-- Contract: notes all sales of a new partition of dwh.fact_sales in stg.sales_delta. Groups are of days, countries and
-- products, some hundred thousand, so several processes count in hash tables. The leader only merges, since it would else have two
-- of them at once; a helper more takes its place.
create or replace function dwh.note_partition(p_partition regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set parallel_tuple_cost = 0
set parallel_leader_participation = off
as $$
declare
  v_helpers constant integer := current_setting('max_parallel_workers_per_gather')::integer;
begin
  perform set_config('max_parallel_workers_per_gather', case when v_helpers > 0 then v_helpers + 1 else 0 end::text, true);
  execute format(
    'create temporary table headrace_delta on commit drop as'
    ' select f.captured_on, coalesce(c.country, ''(unknown)'') as country, f.product_key, count(*) as lines, sum(f.qty)::bigint as units'
    ' from %s f join dwh.dim_customer c on c.customer_key = f.customer_key group by 1, 2, 3', p_partition);
  perform set_config('max_parallel_workers_per_gather', v_helpers::text, true);
  insert into stg.sales_delta (captured_on, country, product_key, lines, units)
  select d.captured_on, d.country, d.product_key, d.lines, d.units from pg_temp.headrace_delta d;
  drop table pg_temp.headrace_delta;
end
$$;

comment on function dwh.note_partition(regclass) is 'Notes the sales of a new partition of dwh.fact_sales in stg.sales_delta. Internal.';
revoke all on function dwh.note_partition(regclass) from public;
