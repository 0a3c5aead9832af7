-- Contract: SQL that yields the text form (image) and hash bucket (of 1024) of each row of p_relation, the same on both sides:
-- for the source (p_is_source) truncated columns are truncated there; hashed columns are left out, since the source does
-- not know the secret.
create or replace function mrr.image_query(p_table etl.source_table, p_relation text, p_is_source boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format('select i.image, (hashtextextended(i.image, 0) & 1023)::integer as bucket, hashtextextended(i.image, 1) as hash'
                ' from (select row(%s)::text collate "C" as image from %s r) i',
                string_agg(format(case when p_is_source and c.mask = 'truncate' then 'case when r.%1$I is not null then left(format(''%%s'', r.%1$I), %2$s) end' else 'r.%1$I' end, c.column_name, c.mask_length), ', ' order by c.position),
                p_relation)
  from etl.source_column c
  where c.source_table_id = (p_table).source_table_id and coalesce(c.mask, '') not in ('drop', 'hash')
$$;

comment on function mrr.image_query(etl.source_table, text, boolean) is
  'SQL that yields image, bucket and hash of each row of a mirror or source table. Internal.';
revoke all on function mrr.image_query(etl.source_table, text, boolean) from public;
