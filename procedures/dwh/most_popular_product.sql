-- Contract: the name of the product with the most units sold, ties settled by name; null where nothing was sold. Reads the
-- aggregates only. A product counts as a whole across its versions, under its latest name; the group is the one it had
-- when it was sold, (unknown) where it had none, as for countries.
-- Without filters only products are added up that can win. As no version sold less than nothing, the winner sold at least as much
-- as the best selling version of all; so of its versions, which are at most as many as any product has, one sold at least
-- that much divided by their number. All versions but the first have a batch_from above 0. Where more versions reach that
-- than there are products with several, these are added up instead, and the best selling versions. The totals are read once: the best of
-- some versions tells from how many units on a version is worth a note, 16 bytes.
create or replace function dwh.most_popular_product(
  country text default null, product_group text default null, first_day date default null, last_day date default null)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  c_some constant integer := 1000; -- versions, a read of which is short
  v_keys bigint[];
  v_units bigint[];
  v_best bigint;
  v_least bigint;
  v_several bigint;
  v_versions bigint;
  v_strong bigint[];
begin
  if country is null and product_group is null and first_day is null and last_day is null then
    select count(*), 1 + coalesce(max(p.later), 0) into v_several, v_versions
    from (select count(*) as later from dwh.dim_product v where v.batch_from > 0 group by v.source, v.product_id) p;
    v_least := (select max(s.units) from (select a.units from dwh.sales_by_product a limit c_some) s) / v_versions;
    select max(a.units), array_agg(a.product_key), array_agg(a.units) into v_best, v_keys, v_units
    from dwh.sales_by_product a
    where a.units >= v_least;
    v_least := v_best / v_versions;
    v_strong := array(select u.product_key from unnest(v_keys, v_units) u (product_key, units) where u.units >= v_least limit v_several + 1);
    if cardinality(v_strong) > v_several then
      v_least := v_best;
      v_strong := array(select u.product_key from unnest(v_keys, v_units) u (product_key, units) where u.units = v_best);
    end if;
  end if;
  return (
    with able as (
      select p.source, p.product_id
      from dwh.dim_product p
      where p.product_key = any (v_strong)
      union
      select p.source, p.product_id
      from dwh.dim_product p
      where v_least = v_best and p.batch_from > 0
    ), sold as (
      select a.product_key, a.units
      from able
      join dwh.dim_product v on v.source = able.source and v.product_id = able.product_id
      join dwh.sales_by_product a on a.product_key = v.product_key
      where v_strong is not null
      union all
      select a.product_key, a.units
      from dwh.sales_by_product a
      where v_strong is null and most_popular_product.country is null and first_day is null and last_day is null
      union all
      select a.product_key, a.units
      from dwh.sales_by_day a
      where not (most_popular_product.country is null and first_day is null and last_day is null)
        and (most_popular_product.country is null or a.country = most_popular_product.country)
        and a.captured_on >= coalesce(first_day, '-infinity')
        and a.captured_on <= coalesce(last_day, 'infinity')
    ), ranked as (
      select p.source, p.product_id, sum(s.units) as units
      from sold s
      join dwh.dim_product p on p.product_key = s.product_key
      where most_popular_product.product_group is null or coalesce(p.product_group, '(unknown)') = most_popular_product.product_group
      group by p.source, p.product_id
      order by units desc
      fetch first 1 row with ties
    )
    select coalesce(p.name, format('(product %s)', p.product_id))
    from ranked r
    cross join lateral (
      select v.name, v.product_id from dwh.dim_product v
      where v.source = r.source and v.product_id = r.product_id
      order by v.batch_from desc
      limit 1
    ) p
    order by 1
    limit 1
  );
end
$$;

comment on function dwh.most_popular_product(text, text, date, date) is
  'Name of the product with the most units sold, ties settled by name; null on an empty warehouse. country, product_group: only sales there or of it; first_day, last_day: inclusive bounds of captured_on. For headrace_reader.';
revoke all on function dwh.most_popular_product(text, text, date, date) from public;
grant execute on function dwh.most_popular_product(text, text, date, date) to headrace_reader;
