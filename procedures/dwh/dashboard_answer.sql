-- requires: dwh.dashboard_cube
-- Contract: what a live page asks for when its own cubes cannot answer a filter: one cube for each part that it names. filter is that
-- of dwh.dashboard_cube(). A part leaves its own dimensions out of the filter, so that what was not chosen is seen beside what
-- was: total, day, country, group, heat (country and group), product (the hundred with the most units).
-- The values of a filter are the reader's words: they are compared with columns and become part of no statement.
create or replace function dwh.dashboard_answer(filter jsonb, parts text[], grain text default 'day')
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
  if jsonb_typeof(dashboard_answer.filter) <> 'object'
     or not dashboard_answer.parts <@ '{total,day,country,group,heat,product}'
     or dashboard_answer.grain <> all ('{day,week,month,quarter,year}') then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'that is no filter of the dashboard',
      hint = 'filter: {"from": day, "to": day, "countries": [], "groups": [], "products": ["source:id"]}; parts: total, day, country, group, heat, product.';
  end if;
  return (
    select coalesce(json_object_agg(p.part, dwh.dashboard_cube(d.dims, dashboard_answer.grain, dashboard_answer.filter - d.own, d.top)), '{}')
    from unnest(dashboard_answer.parts) p (part)
    join (
      values
        ('total', '{}'::text[], '{}'::text[], null::bigint),
        ('day', '{day}', '{from,to}', null),
        ('country', '{country}', '{countries}', null),
        ('group', '{group}', '{groups}', null),
        ('heat', '{country,group}', '{countries,groups}', null),
        ('product', '{product}', '{products}', 100)
    ) d (part, dims, own, top) on d.part = p.part);
end
$$;

comment on function dwh.dashboard_answer(jsonb, text[], text) is
  'Figures of the dashboard narrowed by a filter, for a live page. filter: {"from", "to", "countries", "groups", "products"}; parts: any of total, day, country, group, heat, product; grain: what days are cut to. Raises 22023. For headrace_reader.';
revoke all on function dwh.dashboard_answer(jsonb, text[], text) from public;
grant execute on function dwh.dashboard_answer(jsonb, text[], text) to headrace_reader;
