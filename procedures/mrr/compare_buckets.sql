-- Contract: counts and hashes the rows of a mirror and its source per bucket, each on its own side (those of a source over another
-- wrapper here), and lists in
-- pg_temp.headrace_difference the rows, with copies, of the buckets that differ, as far as they differ. Returns the totals.
create or replace function mrr.compare_buckets(p_table etl.source_table)
returns etl.reconciliation
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection constant text := 'headrace_' || (p_table).source;
  v_here constant text := mrr.image_query(p_table, format('mrr.%I', (p_table).mirror), false);
  v_is_foreign constant boolean := etl.is_foreign((p_table).source);
  v_there constant text := mrr.image_query(p_table, case when v_is_foreign then format('%I.%I', (p_table).source, (p_table).mirror)
                                                         else format('%I.%I', (p_table).source_schema, (p_table).source_name) end, true);
  v_sums constant text := 'select q.bucket, count(*) as copies, sum(q.hash::numeric) as hash from (%s) q group by q.bucket';
  v_images constant text := 'select q.bucket, q.image, count(*) from (%s) q where q.bucket = any (%L::integer[]) group by 1, 2';
  v_buckets integer[];
  v_result etl.reconciliation;
begin
  create temporary table headrace_bucket (bucket integer, copies bigint, hash numeric, is_source boolean) on commit drop;
  if v_is_foreign then
    execute 'insert into pg_temp.headrace_bucket select s.*, true from (' || format(v_sums, v_there) || ') s';
    perform mrr.check_count(p_table, (select coalesce(sum(b.copies), 0)::bigint from pg_temp.headrace_bucket b));
  else
    perform etl.send_query(v_connection, format(v_sums, v_there));
    insert into pg_temp.headrace_bucket select r.bucket, r.copies, r.hash, true from etl_ext.dblink_get_result(v_connection) r (bucket integer, copies bigint, hash numeric);
    perform etl.finish_query(v_connection);
  end if;
  execute 'insert into pg_temp.headrace_bucket select s.*, false from (' || format(v_sums, v_here) || ') s';
  select coalesce(sum(b.copies) filter (where b.is_source), 0)::bigint, coalesce(sum(b.copies) filter (where not b.is_source), 0)::bigint
  into v_result.rows_source, v_result.rows_mirror
  from pg_temp.headrace_bucket b;
  select count(*)::integer, array_agg(d.bucket) into v_result.buckets_different, v_buckets
  from (select b.bucket from pg_temp.headrace_bucket b group by b.bucket
        having count(*) = 1 or min(b.copies) <> max(b.copies) or min(b.hash) <> max(b.hash)) d;
  drop table pg_temp.headrace_bucket;

  create temporary table headrace_difference (bucket integer, image text, copies_source bigint, copies_mirror bigint) on commit drop;
  if v_buckets is not null then
    create temporary table headrace_image (bucket integer, image text, copies bigint) on commit drop;
    if v_is_foreign then
      execute format('insert into pg_temp.headrace_image ' || v_images, v_there, v_buckets);
    else
      perform etl.send_query(v_connection, format(v_images, v_there, v_buckets));
      insert into pg_temp.headrace_image select r.bucket, r.image, r.copies from etl_ext.dblink_get_result(v_connection) r (bucket integer, image text, copies bigint);
      perform etl.finish_query(v_connection);
    end if;
    execute format(
      'insert into pg_temp.headrace_difference'
      ' select bucket, image, coalesce(s.copies, 0), coalesce(m.copies, 0)'
      ' from pg_temp.headrace_image s'
      ' full join (select q.bucket, q.image, count(*) as copies from (%s) q where q.bucket = any ($1) group by 1, 2) m using (bucket, image)'
      ' where s.copies is distinct from m.copies', v_here)
      using v_buckets;
    drop table pg_temp.headrace_image;
  end if;
  select coalesce(sum(abs(d.copies_source - d.copies_mirror)), 0)::bigint into v_result.rows_different from pg_temp.headrace_difference d;
  return v_result;
end
$$;

comment on function mrr.compare_buckets(etl.source_table) is
  'Compares a mirror with its source in hash buckets; the rows that differ are in pg_temp.headrace_difference. Needs the open snapshot. Internal.';
revoke all on function mrr.compare_buckets(etl.source_table) from public;
