-- Contract: no identity column of a layer gives a number again that a row has already; where rows were restored, sequences may
-- stand behind them. Never sets one back.
create or replace function etl.advance_identities()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation regclass;
  v_column text;
  v_sequence regclass;
begin
  for v_relation, v_column, v_sequence in
    select c.oid::regclass, a.attname::text, pg_get_serial_sequence(c.oid::regclass::text, a.attname)::regclass
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('mrr', 'stg', 'dwh', 'etl')
    join pg_attribute a on a.attrelid = c.oid and a.attidentity <> '' and not a.attisdropped
    where c.relkind in ('r', 'p') and not c.relispartition
  loop
    execute format(
      'select setval(%L, m.highest) from (select max(t.%I) as highest from %s t) m where m.highest >= (select s.last_value from %s s)',
      v_sequence, v_column, v_relation, v_sequence);
  end loop;
end
$$;

comment on function etl.advance_identities() is
  'Moves the sequences of identity columns of all layers above the numbers that rows have. Internal, for etl.after_restore().';
revoke all on function etl.advance_identities() from public;
