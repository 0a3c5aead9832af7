-- Contract: takes out of quarantine what a batch deletes or changes at the source, and returns how many rows left.
-- With a key: every row whose key is among the rows D and U. Without: each row D releases exactly one equal row, the most
-- recently captured, and is thereby settled: it leaves the change set, so no fact is deleted for it as well.
create or replace function stg.release_quarantine(p_table etl.source_table, p_batch bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_mirror constant text := (p_table).mirror;
  v_changes constant text := format('stg.%I', v_mirror || '_changes');
  v_key constant text := 'row(' || etl.key_list(v_id, 'c.%1$I') || ')::text collate "C"';
  v_is_truncated boolean;
  v_released bigint;
begin
  if not exists (select from stg.quarantine q where q.mirror = v_mirror) then
    return 0::bigint;
  end if;
  execute format('select exists (select from %s c where c._hr_batch = $1 and c._hr_op = ''T'')', v_changes) into v_is_truncated using p_batch;
  if v_is_truncated then
    with gone as (delete from stg.quarantine q where q.mirror = v_mirror returning 1)
    select count(*) into v_released from gone;
  elsif stg.is_copy(v_mirror) then
    v_released := 0::bigint; -- nothing but inserts
  elsif v_key is not null then
    execute format(
      'with gone as (delete from stg.quarantine q using %s c'
      '              where c._hr_batch = $1 and c._hr_op in (''U'', ''D'')'
      '                and q.mirror = $2 and q.row_hash = hashtextextended(%2$s, 0) and q.row_key = %2$s returning 1)'
      ' select count(*) from gone', v_changes, v_key)
      into v_released using p_batch, v_mirror;
  else
    execute format(
      'with gone as ('
      '   select c._hr_seq, %2$s as image, row_number() over (partition by %2$s order by c._hr_seq) as number'
      '   from %1$s c where c._hr_batch = $1 and c._hr_op = ''D''),'
      ' held as ('
      '   select q.quarantine_id, q.row_key as image,'
      '          row_number() over (partition by q.row_key order by q.batch_id desc, q.quarantine_id desc) as number'
      '   from (select distinct g.image from gone g) g'
      '   join stg.quarantine q on q.mirror = $2 and q.row_hash = hashtextextended(g.image, 0) and q.row_key = g.image),'
      ' pair as (select g._hr_seq, h.quarantine_id from gone g join held h on h.image = g.image and h.number = g.number),'
      ' released as (delete from stg.quarantine q using pair p where q.quarantine_id = p.quarantine_id),'
      ' settled as (delete from %1$s c using pair p where c._hr_batch = $1 and c._hr_seq = p._hr_seq returning 1)'
      ' select count(*) from settled', v_changes, etl.row_image(v_id, 'c'))
      into v_released using p_batch, v_mirror;
  end if;
  return v_released;
end
$$;

comment on function stg.release_quarantine(etl.source_table, bigint) is
  'Takes rows out of quarantine whose source rows batch p_batch deleted or changed; returns how many. Internal.';
revoke all on function stg.release_quarantine(etl.source_table, bigint) from public;
