-- requires: dwh.is_place_index_deferred
-- Contract: makes the index by which equal sales are found in dwh.fact_sales, where a first load has left it out
-- (dwh.defer_place_index): after its publish, or by the next run before it captures, in a transaction of its own. Readers go on
-- meanwhile, other publishes wait. What goes wrong is logged only: without it changes are found all the same, but slowly.
create or replace function dwh.make_place_index(p_pipeline text, p_run_id bigint)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_error etl.failure;
begin
  if not dwh.is_place_index_deferred(p_pipeline) then
    return;
  end if;
  lock table only dwh.fact_sales in share row exclusive mode;
  if dwh.is_place_index_deferred(p_pipeline) then -- nobody else has made it meanwhile
    create index fact_sales_place_idx on dwh.fact_sales
      (((sale_key & -4294967296) | (hashint8(customer_id)::bigint & 4294967295)), product_id);
    perform etl.analyze_table(i.inhrelid::regclass) from pg_inherits i where i.inhparent = 'dwh.fact_sales'::regclass;
  end if;
exception when others then
  get stacked diagnostics
    v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
    v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
  v_error.routine := 'dwh.make_place_index';
  v_error.step := 'index of the facts';
  perform etl.log_error(p_run_id, v_error);
end
$$;

comment on function dwh.make_place_index(text, bigint) is
  'Makes the index by which equal sales are found, if the facts of the pipeline lack it. For headrace_runner, through etl.run().';
revoke all on function dwh.make_place_index(text, bigint) from public;
grant execute on function dwh.make_place_index(text, bigint) to headrace_runner;
