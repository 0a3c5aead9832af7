-- requires: mrr.int_at
-- Contract: how many messages of each kind pg_temp.headrace_stream has of each relation, into pg_temp.headrace_kind: tag I, U, D or T
-- (whose relation is null, since it names several), and whether an old and a new row are in it. What is deleted from the stream
-- afterwards still counts: the kinds say what need not be looked for, not what is there.
create or replace function mrr.count_kinds()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  create temporary table headrace_kind on commit drop as
  select k.tag, case when k.tag <> 'T' then mrr.int_at(k.relation, 0, 4) end as relation, k.is_pair, k.rows
  from (
    select s.tag, substr(s.message, 2, 4) as relation, s.tag = 'U' and get_byte(s.message, 5) <> 78 as is_pair, count(*) as rows
    from pg_temp.headrace_stream s where s.tag in ('I', 'U', 'D', 'T')
    group by 1, 2, 3) k;
end
$$;

comment on function mrr.count_kinds() is
  'Counts the messages of pg_temp.headrace_stream by kind and relation into pg_temp.headrace_kind. Internal.';
revoke all on function mrr.count_kinds() from public;
