-- Contract: brings dwh.sales_by_group up to what stg.sales_delta says was inserted, deleted and moved, and moves the sales of inferred
-- products that this batch completed from the group (unknown) to their own. Runs before dwh.sales_by_day takes the same changes:
-- what that has of a completed product is exactly what counts for (unknown) here.
-- Invariant: in the end it equals dwh.sales_by_day summed by the groups of dwh.dim_product. A completed product is looked for
-- on the days and in the countries of (unknown) alone, by primary keys: no search through what is stored.
-- The changes are read into a variable, since a cluster of Citus joins no reference table beside the changes of local ones.
create or replace function dwh.load_sales_by_group()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_delta dwh.sales_by_group[];
begin
  with moved as (
    select v.product_group, a.captured_on, a.country, v.sign * a.lines as lines, v.sign * a.units as units
    from stg.completed_member m
    join dwh.dim_product p on p.product_key = m.member_key
    join dwh.sales_by_group g on g.product_group = '(unknown)'
    join dwh.sales_by_day a on a.captured_on = g.captured_on and a.country = g.country and a.product_key = m.member_key
    cross join lateral (values ('(unknown)', -1), (p.product_group, 1)) v (product_group, sign)
    where m.dimension = 'dwh.dim_product' and p.product_group is not null
  ), delta as (
    select c.product_group, c.captured_on, c.country, sum(c.lines)::bigint as lines, sum(c.units)::bigint as units
    from (
      select coalesce(p.product_group, '(unknown)'), d.captured_on, d.country, d.lines, d.units
      from stg.sales_delta d
      left join dwh.dim_product p on p.product_key = d.product_key
      union all
      select m.product_group, m.captured_on, m.country, m.lines, m.units from moved m
    ) c (product_group, captured_on, country, lines, units)
    group by 1, 2, 3
  )
  select array_agg(row(d.product_group, d.captured_on, d.country, d.lines, d.units)::dwh.sales_by_group) into v_delta from delta d;

  with delta as (
    select d.product_group, d.captured_on, d.country, d.lines, d.units from unnest(v_delta) d
  ), emptied as (
    delete from dwh.sales_by_group a using delta d
    where a.product_group = d.product_group and a.captured_on = d.captured_on and a.country = d.country and a.lines + d.lines = 0
  ), changed as (
    update dwh.sales_by_group a set lines = a.lines + d.lines, units = a.units + d.units from delta d
    where a.product_group = d.product_group and a.captured_on = d.captured_on and a.country = d.country
      and a.lines + d.lines <> 0 and (d.lines <> 0 or d.units <> 0)
  )
  insert into dwh.sales_by_group (product_group, captured_on, country, lines, units)
  select d.product_group, d.captured_on, d.country, d.lines, d.units
  from delta d
  where d.lines <> 0 and not exists (
    select from dwh.sales_by_group a
    where a.product_group = d.product_group and a.captured_on = d.captured_on and a.country = d.country);
  delete from stg.completed_member m where m.dimension = 'dwh.dim_product';
end
$$;

comment on function dwh.load_sales_by_group() is
  'Brings dwh.sales_by_group up to what the publish changed, before dwh.sales_by_day. Internal.';
revoke all on function dwh.load_sales_by_group() from public;
