-- requires: etl.stage_columns
-- Contract: makes the table of facts: the columns of its stage function, the version of each dimension, date and batch of
-- capture. Facts with a key are found by it, others by the hash of their text form. There are no foreign keys: dimensions are
-- loaded first, and dwh.load_fact() sees to it that each fact found its versions.
create or replace function etl.make_fact_table(p_fact etl.fact)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name constant text[] := etl.parse_table((p_fact).fact);
begin
  execute format(
    'create table %I.%I (%s source text not null, %s,%s captured_at timestamptz not null, captured_on date not null, batch_id bigint not null, %s)',
    v_name[1], v_name[2],
    case when (p_fact).key_columns is null then 'fact_key bigint generated always as identity,' else '' end,
    (select string_agg(format('%I %s', c.column_name, c.type_name), ', ' order by c.ordinal)
     from etl.stage_columns((p_fact).stage) c where c.column_name = any (etl.fact_columns(p_fact))),
    (select string_agg(format(' %I bigint not null,', d.surrogate_key), '') from etl.dimension d where d.dimension = any ((p_fact).dimensions)),
    case when (p_fact).key_columns is null then 'row_hash bigint not null, primary key (fact_key)'
         else format('primary key (source, %s)', (select string_agg(quote_ident(k.name), ', ') from unnest((p_fact).key_columns) k (name))) end);
  if (p_fact).key_columns is null then
    execute format('create index on %I.%I (row_hash)', v_name[1], v_name[2]);
  end if;
  execute format('create index on %I.%I using brin (captured_on)', v_name[1], v_name[2]);
  execute format('comment on table %I.%I is %L', v_name[1], v_name[2], 'Facts of ' || (p_fact).stage || '. Made by etl.add_fact().');
end
$$;

comment on function etl.make_fact_table(etl.fact) is 'Makes the table of facts after its stage function. Internal.';
revoke all on function etl.make_fact_table(etl.fact) from public;
