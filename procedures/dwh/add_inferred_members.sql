-- Contract: adds an inferred member to a dimension for every row of pg_temp.headrace_unknown, which are distinct, and drops that; returns
-- how many. A fact without the key of its dimension would belong nowhere, so it stops the publish.
-- ON CONFLICT and the order of keys let several pipelines infer the same members at once.
create or replace function dwh.add_inferred_members(p_dimension text, p_stage text, p_batch bigint)
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

comment on function dwh.add_inferred_members(text, text, bigint) is
  'Adds inferred members to p_dimension for the keys in pg_temp.headrace_unknown, of the fact stage p_stage in batch p_batch; returns how many. Raises 23502 where a fit row names none. Internal.';
revoke all on function dwh.add_inferred_members(text, text, bigint) from public;
