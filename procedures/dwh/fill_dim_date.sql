-- Contract: dwh.dim_date holds every day of the year that p_day falls in.
create or replace function dwh.fill_dim_date(p_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dwh.dim_date (date_day, year, quarter, month, month_name, iso_year, iso_week, day_of_month, day_of_week, day_name, is_weekend)
  select d.day, extract(year from d.day), extract(quarter from d.day), extract(month from d.day), to_char(d.day, 'FMMonth'),
         extract(isoyear from d.day), extract(week from d.day), extract(day from d.day), extract(isodow from d.day),
         to_char(d.day, 'FMDay'), extract(isodow from d.day) >= 6
  from (
    select g::date as day
    from generate_series(date_trunc('year', p_day::timestamp), date_trunc('year', p_day::timestamp) + interval '1 year' - interval '1 day', interval '1 day') g
    where not exists (select 1 from dwh.dim_date x where x.date_day = p_day)
  ) d
  on conflict do nothing;
end
$$;

comment on function dwh.fill_dim_date(date) is 'Adds the days of p_day''s year to dwh.dim_date. Internal.';
revoke all on function dwh.fill_dim_date(date) from public;
