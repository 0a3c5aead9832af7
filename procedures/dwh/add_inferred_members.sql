-- Contract: adds an inferred member for every business key that the fit rows of a fact stage name in a batch, or p_rows, a table of some of them, and the
-- dimension has never seen; returns how many. A deleted member is not inferred again: facts go on to refer to its last version. The keys
-- are found by a query of its own, because only so several processes share it.
-- A fact without the key of its dimension would belong nowhere, so it stops the publish.
-- ON CONFLICT and the order of keys let several pipelines infer the same members at once.
create or replace function dwh.add_inferred_members(p_dimension text, p_stage text, p_batch bigint, p_rows regclass default null)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key constant text := (select d.business_key from etl.dimension d where d.dimension = p_dimension);
  v_captured_at constant timestamptz := (select b.captured_at from etl.batch b where b.batch_id = p_batch);
  v_inferred bigint;
  v_keyless bigint;
begin
  execute format(
    'create temporary table headrace_unknown on commit drop as'
    ' select distinct s.source, s.%3$I as member from %1$s s left join %2$s d on d.source = s.source and d.%3$I = s.%3$I'
    ' where d.source is null',
    case when p_rows is null then format('(select r.* from %s($1) r where r.op in (''I'', ''U''))', p_stage::regproc) else format('%s', p_rows) end,
    p_dimension::regclass, v_key)
    using p_batch;
  if exists (select from pg_temp.headrace_unknown u where u.member is null) then
    execute format('select count(*) from %s($1) s where s.op in (''I'', ''U'') and s.%I is null', p_stage::regproc, v_key) into v_keyless using p_batch;
    raise exception using
      errcode = 'not_null_violation',
      message = format('%s fit rows of %s in batch %s have no %s, by which %s is found', v_keyless, p_stage, p_batch, v_key, p_dimension),
      hint = format('Make the stage function anew, and either judge such rows, reason => ''case when … is null then …'', or give them a member: "%1$s": "coalesce(c.…, ''(none)'')".', v_key);
  end if;
  execute format(
    'with inferred as ('
    '   insert into %1$s (source, %2$I, valid_from, is_inferred, batch_from)'
    '   select u.source, u.member, $1, true, 0 from pg_temp.headrace_unknown u order by u.source, u.member on conflict do nothing returning 1)'
    ' select count(*) from inferred', p_dimension::regclass, v_key)
    into v_inferred using v_captured_at;
  drop table pg_temp.headrace_unknown;
  return v_inferred;
end
$$;

comment on function dwh.add_inferred_members(text, text, bigint, regclass) is
  'Adds inferred members to p_dimension for keys in the fact stage p_stage of batch p_batch, or p_rows of it, that it has never seen; returns how many. Raises 23502 where a fit row names none. Internal.';
revoke all on function dwh.add_inferred_members(text, text, bigint, regclass) from public;
