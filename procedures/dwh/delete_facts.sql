-- requires: etl.generations, etl.placed_hash, etl.fact_columns, dwh.note_facts
-- Contract: deletes the facts of the rows that a batch changes or deletes, by their key; without a key, for each group of n equal rows D
-- the n most recently captured equal facts. After a truncation (T) all facts of the source. Returns the rows deleted.
-- dwh.facts_by_day gives up what they had there; after a truncation it is made anew (dwh.load_fact).
create or replace function dwh.delete_facts(p_fact etl.fact, p_batch bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_truncated bigint;
  v_deleted bigint;
  v_gone bigint;
  v_returned constant text := dwh.name_list(array['captured_on'] || (p_fact).measures, 'f.%I');
  v_noted constant text := dwh.note_facts(p_fact, 'removed', -1);
begin
  execute format('with removed as (delete from %s f using (select distinct s.source from %s($1) s where s.op = ''T'') t where f.source = t.source returning 1)'
                 ' select count(*) from removed', (p_fact).fact::regclass, (p_fact).stage::regproc)
    into v_truncated using p_batch;
  if (p_fact).key_columns is not null then
    execute format(
      'with removed as (delete from %s f using (select distinct s.source, %s from %s($1) s where s.op in (''U'', ''D'')) g where f.source = g.source and %s returning %s), noted as (%s)'
      ' select count(*) from removed', (p_fact).fact::regclass, dwh.name_list((p_fact).key_columns, 's.%I'), (p_fact).stage::regproc,
      dwh.name_list((p_fact).key_columns, 'f.%1$I = g.%1$I', ' and '), v_returned, v_noted)
      into v_deleted using p_batch;
    return v_truncated + v_deleted;
  end if;
  execute format(
    'with gone as (select n.*, array(select etl.placed_hash(g, hashtextextended(n.image, 0)) from unnest($2) g) as places'
    '              from (select s.source, row(%1$s)::text collate "C" as image, count(*) as copies from %2$s($1) s where s.op = ''D'' group by 1, 2) n),'
    ' equal as (select f.fact_key, g.copies, row_number() over (partition by g.source, g.image order by f.batch_id desc, f.fact_key desc) as number'
    '           from gone g join %3$s f on f.row_hash = any (g.places) and f.source = g.source and row(%4$s)::text collate "C" = g.image),'
    ' removed as (delete from %3$s f using equal e where f.fact_key = e.fact_key and e.number <= e.copies returning %5$s), noted as (%6$s)'
    ' select (select count(*) from removed), (select coalesce(sum(g.copies), 0)::bigint from gone g)',
    dwh.name_list(etl.fact_columns(p_fact), 's.%I'), (p_fact).stage::regproc, (p_fact).fact::regclass, dwh.name_list(etl.fact_columns(p_fact), 'f.%I'), v_returned, v_noted)
    into v_deleted, v_gone using p_batch, etl.generations((p_fact).fact::regclass);
  if v_deleted <> v_gone then
    raise exception using
      errcode = 'data_exception',
      message = format('batch %s withdraws %s rows of %s, but %s facts equal them', p_batch, v_gone, (p_fact).fact, v_deleted),
      hint = format('Facts or the stage function were changed by hand: make the facts anew, call etl.rebuild(%L);', (p_fact).fact);
  end if;
  return v_truncated + v_deleted;
end
$$;

comment on function dwh.delete_facts(etl.fact, bigint) is
  'Deletes the facts of the rows that batch p_batch changes or deletes; returns how many. Internal.';
revoke all on function dwh.delete_facts(etl.fact, bigint) from public;
