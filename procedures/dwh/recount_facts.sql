-- requires: dwh.note_facts
-- Contract: makes what dwh.facts_by_day has of a fact anew from its table: when it is registered, and after a truncation (T).
create or replace function dwh.recount_facts(p_fact etl.fact)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from dwh.facts_by_day d where d.fact = (p_fact).fact;
  execute dwh.note_facts(p_fact, (p_fact).fact::regclass::text, 1);
end
$$;

comment on function dwh.recount_facts(etl.fact) is 'Makes what dwh.facts_by_day has of a fact anew. Internal.';
revoke all on function dwh.recount_facts(etl.fact) from public;
