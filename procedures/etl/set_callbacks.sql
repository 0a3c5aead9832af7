-- Contract: sets or, with null, clears the callback procedures of a pipeline; checks that they exist in the right form.
create or replace procedure etl.set_callbacks(pipeline text, on_success text default null, on_failure text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_callback text;
begin
  foreach v_callback in array array_remove(array[set_callbacks.on_success, set_callbacks.on_failure], null) loop
    if to_regprocedure(v_callback || '(text, bigint, text)') is null then
      raise exception using
        errcode = 'undefined_function',
        message = format('there is no procedure %s(pipeline text, run_id bigint, status text)', v_callback),
        hint = 'A callback takes the pipeline, the run''s number and its status, and is named with its schema.';
    end if;
  end loop;
  update etl.pipeline p
  set on_success = set_callbacks.on_success, on_failure = set_callbacks.on_failure
  where p.pipeline = set_callbacks.pipeline;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no pipeline %s', set_callbacks.pipeline),
      hint = 'The registered ones: select * from etl.pipeline;';
  end if;
end
$$;

comment on procedure etl.set_callbacks(text, text, text) is
  'Sets the procedures called after a run that succeeded (on_success), or failed or was canceled (on_failure); null clears. They run as headrace_owner. Raises 42704, 42883. For the administrator (member of headrace_owner).';
revoke all on procedure etl.set_callbacks(text, text, text) from public;
