-- Contract: the SQLSTATE that tells what a foreign data wrapper's error means: wrappers say HV00N or HV00L to a server that is away,
-- which is 08 everywhere else and has a pipeline back off, and to a refused password, which is 28.
create or replace function etl.source_sqlstate(p_sqlstate text, p_message text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case when p_sqlstate in ('HV00N', 'HV00L') and p_message ~* '(access denied|login failed|login incorrect)' then '28000'
              when p_sqlstate = 'HV00N' then '08001'
              when p_sqlstate = 'HV00L' and p_message ~* '(gone away|lost connection|unable to connect|connection failed|can''t connect)' then '08006'
              else p_sqlstate end
$$;

comment on function etl.source_sqlstate(text, text) is
  'SQLSTATE of class 08 or 28 for what a foreign data wrapper raises as HV00N or HV00L for want of a connection. Internal.';
revoke all on function etl.source_sqlstate(text, text) from public;
