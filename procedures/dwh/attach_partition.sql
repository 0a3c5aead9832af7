-- requires: etl.share_index
-- Contract: makes a table with the columns of a fact table the partition of it that holds the month of p_day. What the fact
-- table asks of its rows is checked in one reading, then its primary key and indexes are made. Unlike CREATE TABLE …
-- PARTITION OF, this lets readers of the fact table go on.
create or replace function dwh.attach_partition(p_fact text, p_partition text, p_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_fact constant regclass := p_fact::regclass;
  v_partition constant regclass := p_partition::regclass;
  v_month constant date := date_trunc('month', p_day)::date;
  v_end constant date := (v_month + interval '1 month')::date;
  v_column record;
  v_is_shared boolean;
begin
  for v_column in
    select a.attname as name, col_description(v_fact, a.attnum) as comment
    from pg_attribute a where a.attrelid = v_fact and a.attnum > 0 and not a.attisdropped
  loop
    execute format('comment on column %s.%I is %L', v_partition, v_column.name, v_column.comment);
  end loop;
  execute format('comment on table %s is %L', v_partition, format('Partition of %s for %s.', p_fact, to_char(p_day, 'YYYY-MM')));
  execute format('alter table %s %s, add constraint headrace_month check (captured_on >= %L and captured_on < %L)', v_partition,
    (select string_agg(r.rule, ', ')
     from (
       select format('alter column %I set not null', a.attname)
       from pg_attribute a where a.attrelid = v_fact and a.attnum > 0 and not a.attisdropped and a.attnotnull
       union all
       select format('add constraint %I %s', c.conname, pg_get_constraintdef(c.oid))
       from pg_constraint c
       where c.conrelid = v_fact and c.contype = 'c') r (rule)),
    v_month, v_end);
  v_is_shared := etl.share_index(v_partition);
  execute format('alter table %s attach partition %s for values from (%L) to (%L)', v_fact, v_partition, v_month, v_end);
  perform etl.share_index(v_partition, v_is_shared);
  execute format('alter table %s drop constraint headrace_month', v_partition);
end
$$;

comment on function dwh.attach_partition(text, text, date) is
  'Makes p_partition, which has the columns of fact table p_fact, its partition for the month of p_day, without blocking readers. Internal.';
revoke all on function dwh.attach_partition(text, text, date) from public;
