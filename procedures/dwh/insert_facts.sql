-- requires: etl.newest_generation, etl.placed_hash, etl.fact_columns, dwh.note_facts
-- Contract: inserts the fit rows of a batch as facts and returns how many, with the version of each dimension that was current when the
-- row was captured: found by batch, since these ranges have no gaps. A replayed or rebuilt row keeps the batch and the date
-- of its first capture (origin). dwh.facts_by_day takes what they add.
create or replace function dwh.insert_facts(p_fact etl.fact, p_batch bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_columns constant text[] := etl.fact_columns(p_fact);
  v_hash constant text := format('etl.placed_hash($3, hashtextextended(row(%s)::text collate "C", 0))', dwh.name_list(v_columns, 's.%I'));
  v_is_keyless constant boolean := (p_fact).key_columns is null;
  v_time_zone constant text := (select w.time_zone from etl.warehouse w);
  v_inserted bigint;
begin
  execute format('select count(dwh.fill_dim_date(d.day))%s from (select distinct (b.captured_at at time zone $2)::date as day'
                 ' from (select distinct s.origin from %s($1) s where s.op in (''I'', ''U'')) s join etl.batch b on b.batch_id = s.origin) d',
                 case when exists (select from pg_class c where c.oid = (p_fact).fact::regclass and c.relkind = 'p')
                      then format(', count(dwh.ensure_partition(%L, d.day))', (p_fact).fact) else '' end, (p_fact).stage::regproc)
    using p_batch, v_time_zone;
  execute format(
    'with inserted as ('
    '   insert into %s (source, %s,%s captured_at, captured_on, batch_id%s)'
    '   select s.source, %s,%s b.captured_at, (b.captured_at at time zone $2)::date, s.origin%s'
    '   from %s($1) s join etl.batch b on b.batch_id = s.origin%s'
    '   where s.op in (''I'', ''U'') order by %s returning %s), noted as (%s)'
    ' select count(*) from inserted',
    (p_fact).fact::regclass, dwh.name_list(v_columns, '%I'),
    (select string_agg(format(' %I,', d.surrogate_key), '' order by d.dimension) from etl.dimension d where d.dimension = any ((p_fact).dimensions)),
    case when v_is_keyless then ', row_hash' else '' end,
    dwh.name_list(v_columns, 's.%I'),
    (select string_agg(format(' %I.%I,', d.dimension, d.surrogate_key), '' order by d.dimension) from etl.dimension d where d.dimension = any ((p_fact).dimensions)),
    case when v_is_keyless then ', ' || v_hash else '' end,
    (p_fact).stage::regproc,
    (select string_agg(format(' join %1$s as %2$I on %2$I.source = s.source and %2$I.%3$I = s.%3$I and %2$I.batch_from <= s.origin and s.origin < %2$I.batch_to',
                              d.dimension::regclass, d.dimension, d.business_key), '' order by d.dimension)
     from etl.dimension d where d.dimension = any ((p_fact).dimensions)),
    case when v_is_keyless then v_hash else 's.change_seq' end,
    dwh.name_list(array['captured_on'] || (p_fact).measures, '%I'), dwh.note_facts(p_fact, 'inserted', 1))
    into v_inserted using p_batch, v_time_zone, etl.newest_generation((p_fact).fact::regclass);
  return v_inserted;
end
$$;

comment on function dwh.insert_facts(etl.fact, bigint) is
  'Inserts the fit rows of batch p_batch as facts; returns how many. Internal.';
revoke all on function dwh.insert_facts(etl.fact, bigint) from public;
