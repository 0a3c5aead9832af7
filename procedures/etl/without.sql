-- Contract: a message without a secret that it might repeat.
create or replace function etl.without(p_text text, p_secret text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case when length(p_secret) > 0 then replace(p_text, p_secret, '***') else p_text end
$$;

comment on function etl.without(text, text) is 'A text in which a secret is replaced by ***. Internal.';
revoke all on function etl.without(text, text) from public;
