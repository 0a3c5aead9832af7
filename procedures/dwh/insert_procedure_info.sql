-- Contract: copies every routine of this database that is neither the system's nor an extension's to dwh.stored_routines:
-- functions, procedures, aggregates, window functions, every overload. One that is gone is marked vanished, one that is
-- back is unmarked. What cannot be copied goes to etl.procedure_errors and the others are copied all the same.
-- Invariant: a routine that is there is never marked vanished: overloads of one that failed wait for a call that works, and
-- a call that began later is believed. A cancel is no error of a routine: WHEN OTHERS does not catch it, it ends the call.
create or replace procedure dwh.insert_procedure_info()
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_routines cursor for
    select p.oid, format('%I.%I', n.nspname, p.proname) as name,
           array_to_string(p.proargtypes::regtype[], ', ') as argument_types
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    where n.nspname <> 'information_schema'
      and n.nspname !~ '^pg_'
      and not exists (select from pg_depend d
                      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
    order by n.nspname, p.proname, p.oid;
  v_now constant timestamptz := clock_timestamp();
  v_failed text[] := array[]::text[];
  v_sqlstate text;
  v_message text;
  v_detail text;
  v_hint text;
  v_context text;
begin
  for v_routine in c_routines loop
    begin
      insert into dwh.stored_routines (routine_schema, routine_name, arguments, kind, result, language, security, owner,
                                       source, comment, source_hash, first_seen, last_seen)
      select n.nspname, p.proname, pg_get_function_identity_arguments(p.oid),
             case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' when 'w' then 'window' else 'function' end,
             pg_get_function_result(p.oid), l.lanname, case when p.prosecdef then 'definer' else 'invoker' end,
             pg_get_userbyid(p.proowner), d.source, obj_description(p.oid, 'pg_proc'),
             encode(sha256(convert_to(d.source, 'UTF8')), 'hex'), v_now, v_now
      from pg_proc p
      join pg_namespace n on n.oid = p.pronamespace
      join pg_language l on l.oid = p.prolang
      cross join lateral (
        select case when p.prokind = 'a' then etl.aggregate_definition(p.oid) else pg_get_functiondef(p.oid) end
      ) d (source)
      where p.oid = v_routine.oid and d.source is not null
      on conflict (routine_schema, routine_name, arguments) do update
      set (kind, result, language, security, owner, source, comment, source_hash, last_seen, vanished_at) =
          (excluded.kind, excluded.result, excluded.language, excluded.security, excluded.owner, excluded.source,
           excluded.comment, excluded.source_hash, excluded.last_seen, null);
    exception when others then
      get stacked diagnostics
        v_sqlstate = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
        v_hint = pg_exception_hint, v_context = pg_exception_context;
      v_failed := v_failed || v_routine.name;
      perform etl.log_error(null, (format('%s(%s)', v_routine.name, v_routine.argument_types), 'dwh.insert_procedure_info',
                                   v_sqlstate, v_message, v_detail, v_hint, v_context)::etl.failure);
    end;
  end loop;

  update dwh.stored_routines s
  set vanished_at = v_now
  where s.vanished_at is null
    and s.last_seen < v_now
    and format('%I.%I', s.routine_schema, s.routine_name) <> all (v_failed);
end
$$;

comment on procedure dwh.insert_procedure_info() is
  'Brings dwh.stored_routines up to the routines of this database. What fails for a routine is in etl.procedure_errors, with the routine as step; raises nothing for it. For headrace_runner; a job calls it.';
revoke all on procedure dwh.insert_procedure_info() from public;
grant execute on procedure dwh.insert_procedure_info() to headrace_runner;
