-- Contract: notes the highest finite value of the watermark column in p_relation (what the batch read) as the mark of a batch, and
-- forgets marks older than the newest one that is safe by now. In place of the snapshot's upper bound, which lies below
-- transactions that began after the newest one that has ended, a number is kept that all of them lie below; a session of its
-- own asks for it, since having one would hold up slots being made. Without a row the last mark is carried on.
create or replace function mrr.note_watermark(p_table etl.source_table, p_batch bigint, p_relation text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_mark text;
  v_snapshot text;
begin
  if etl.is_foreign((p_table).source) then
    v_snapshot := '1:1:'; -- nothing is known to be open; the overlap stands for it
  else
    select pg_snapshot_xmin(s.snapshot::pg_snapshot)::text || ':' || r.xid || ':' into strict v_snapshot
    from etl.batch_source s
    cross join etl_ext.dblink((p_table).source, 'select pg_current_xact_id()::text') r (xid text)
    where s.batch_id = p_batch and s.source = (p_table).source;
  end if;
  execute format('select max(r.%1$I)::text from %2$s r where r.%1$I::text not in (''infinity'', ''Infinity'', ''NaN'')', (p_table).watermark_column, p_relation) into v_mark;
  v_mark := coalesce(v_mark, (select w.mark from etl.watermark w where w.source_table_id = v_id order by w.batch_id desc limit 1));
  if v_mark is not null then
    insert into etl.watermark (source_table_id, batch_id, mark, snapshot) values (v_id, p_batch, v_mark, v_snapshot);
  end if;
  delete from etl.watermark w
  where w.source_table_id = v_id and w.batch_id < (
    select max(x.batch_id) from etl.watermark x
    where x.source_table_id = v_id and pg_snapshot_xmax(x.snapshot::pg_snapshot) <= pg_snapshot_xmin(v_snapshot::pg_snapshot));
end
$$;

comment on function mrr.note_watermark(etl.source_table, bigint, text) is
  'Notes the mark that batch p_batch reached and forgets those no longer needed. Internal.';
revoke all on function mrr.note_watermark(etl.source_table, bigint, text) from public;
