-- Contract: tells the sources, after the commit, that what lies below the stored positions is in batches: advances the slots.
-- If that fails nothing is lost, since the next run skips what it has; it is logged as a warning.
create or replace function etl.acknowledge(p_pipeline text, p_run_id bigint)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slot etl.slot;
  v_error etl.failure;
begin
  for v_slot in select s.* from etl.slot s where s.pipeline = p_pipeline loop
    begin
      perform etl.take_connection(v_slot.source);
      perform etl.send_query('headrace_' || v_slot.source, format(
        'select pg_replication_slot_advance(%L, %L)::text from pg_replication_slots where slot_name = %1$L and confirmed_flush_lsn < %2$L',
        v_slot.slot_name, v_slot.position));
      perform etl.finish_query('headrace_' || v_slot.source);
    exception when others then
      get stacked diagnostics
        v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
        v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
      v_error.step := 'acknowledge';
      v_error.routine := 'etl.acknowledge';
    end;
    if v_error.sqlstate is not null then
      perform etl.disconnect_source(v_slot.source);
      perform etl.log_error(p_run_id, v_error);
      v_error := null;
    end if;
  end loop;
end
$$;

comment on function etl.acknowledge(text, bigint) is
  'Advances the slots of a pipeline to the stored positions, after these are committed; failures are logged only. For headrace_runner, through etl.run().';
revoke all on function etl.acknowledge(text, bigint) from public;
grant execute on function etl.acknowledge(text, bigint) to headrace_runner;
