-- Contract: registers the built-in check that the newest batch changes a mirror by no more than a share of its rows beyond the mean of the last batches; changes nothing else.
create or replace procedure etl.add_check_row_count_change(
  pipeline text, mirror text, largest_share numeric, batches integer default 10, severity text default 'error', name text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  call etl.add_check(pipeline, coalesce(name, format('%s changes by at most %s', mirror, largest_share)), severity,
    format('with counted as (select t.batch_id, t.rows_inserted + t.rows_deleted as changed, t.rows_inserted - t.rows_deleted as growth, row_number() over (order by t.batch_id desc) as number from etl.batch_table t where t.mirror = %1$L),'
    ' size as (select count(*) as rows from mrr.%1$I)'
    ' select c.batch_id, c.changed, s.rows from counted c cross join size s'
    ' where c.number = 1 and exists (select from counted x where x.number > 1)'
    '   and c.changed > coalesce((select avg(x.changed) from counted x where x.number between 2 and %2$s), 0) + %3$s * greatest(s.rows - c.growth, 1)', mirror, batches + 1, largest_share));
end
$$;

comment on procedure etl.add_check_row_count_change(text, text, numeric, integer, text, text) is
  'Registers the check: the newest batch changes a mirror by no more than a share of its rows beyond the mean of the last batches. mirror: mirror; largest_share: share of the mirror''s rows that a batch may insert and delete beyond the mean; batches: how many earlier batches the mean is of; severity: error or warn; name: by default made from the rest. Raises what etl.add_check() raises. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_check_row_count_change(text, text, numeric, integer, text, text) from public;
