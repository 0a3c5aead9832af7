-- Contract: a sample of at most p_limit rows of pg_temp.headrace_difference, numbered.
create or replace function mrr.list_differences(p_limit integer)
returns setof etl.difference
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select 0::bigint, (row_number() over (order by d.bucket, d.image))::integer, d.bucket, d.image, d.copies_source, d.copies_mirror
    from pg_temp.headrace_difference d
    order by d.bucket, d.image
    limit p_limit;
end
$$;

comment on function mrr.list_differences(integer) is
  'Sample of the rows that mrr.compare_buckets() found different. Internal.';
revoke all on function mrr.list_differences(integer) from public;
