-- Contract: moves the rows that the stage function gives a reason for from the change set into quarantine, and returns how
-- many. Where one reason takes more than etl.settings.quarantine_share of the change set (p_rows), the publish is stopped
-- instead. A changed row (U) that became unfit also stays as D, so what dwh knew of it leaves.
-- Where the change set is a copy's view, which nobody can write, its rows are left out by their number; there a row T may
-- have the number of an insert.
create or replace function stg.quarantine_unfit(p_table etl.source_table, p_stage text, p_batch bigint, p_rows bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_changes constant text := format('stg.%I', (p_table).mirror || '_changes');
  v_key constant text := 'row(' || coalesce(etl.key_list(v_id, 'c.%1$I'), etl.column_list(v_id, 'c.%1$I')) || ')::text collate "C"';
  v_unfit bigint;
  v_worst bigint;
  v_reason text;
  v_share numeric;
  v_from integer;
  v_is_copy constant boolean := stg.is_copy((p_table).mirror);
  v_is_any boolean;
begin
  if v_is_copy then
    -- worth a look of its own: a copy is large, and only a plain query is spread over several processes
    execute format('select count(*) > 0 from %s($1) s where s.op in (''I'', ''U'') and s.reason is not null', p_stage::regproc) into v_is_any using p_batch;
    if not v_is_any then
      return 0::bigint;
    end if;
  end if;
  execute format(
    'with unfit as (select s.change_seq, s.origin, s.reason from %1$s($1) s where s.op in (''I'', ''U'') and s.reason is not null),'
    ' quarantined as ('
    '   insert into stg.quarantine (mirror, stage, batch_id, reason, row_key, row_data)'
    '   select $2, $3, u.origin, u.reason, %2$s, to_jsonb(c) - array[''_hr_seq'', ''_hr_batch'', ''_hr_op'', ''_hr_origin'']'
    '   from unfit u join %3$s c on c._hr_batch = $1 and c._hr_seq = u.change_seq and c._hr_op in (''I'', ''U'') order by u.change_seq'
    '   returning 1),'
    || case when v_is_copy then
    ' left_out as (insert into stg.left_out (mirror, change_seq) select $2, u.change_seq from unfit u)'
    else
    ' left_out as (delete from %3$s c using unfit u where c._hr_batch = $1 and c._hr_seq = u.change_seq and c._hr_op = ''I''),'
    ' withdrawn as (update %3$s c set _hr_op = ''D'' from unfit u where c._hr_batch = $1 and c._hr_seq = u.change_seq and c._hr_op = ''U'')'
    end ||
    ' select coalesce(sum(r.rows), 0)::bigint, coalesce(max(r.rows), 0), (array_agg(r.reason order by r.rows desc))[1]'
    ' from (select u.reason, count(*) as rows from unfit u group by 1) r', p_stage::regproc, v_key, v_changes)
    into v_unfit, v_worst, v_reason using p_batch, (p_table).mirror, p_stage;
  select s.quarantine_share, s.quarantine_from into v_share, v_from from etl.settings s;
  if p_rows >= v_from and v_worst > v_share * p_rows then
    raise exception using
      errcode = 'check_violation',
      message = format('%s of %s rows of %s in batch %s are unfit: %s', v_worst, p_rows, (p_table).mirror, p_batch, v_reason),
      detail = format('More than a share of %s for one reason is no longer dirt but a defect, so nothing was published.', v_share),
      hint = 'Mend the source or the stage function; or, if it is right, raise etl.settings.quarantine_share.';
  end if;
  if v_is_copy then
    perform stg.show_copy((p_table).mirror, p_batch);
  end if;
  return v_unfit;
end
$$;

comment on function stg.quarantine_unfit(etl.source_table, text, bigint, bigint) is
  'Moves the rows of batch p_batch that stage function p_stage judges unfit into stg.quarantine; returns how many. Raises 23514 beyond etl.settings.quarantine_share of p_rows. Internal.';
revoke all on function stg.quarantine_unfit(etl.source_table, text, bigint, bigint) from public;
