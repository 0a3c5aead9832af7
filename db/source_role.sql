-- For the administrator of a source: makes the role that Headrace reads with. It may connect to this database and read the
-- tables of one schema; nothing is installed and nothing else is granted. Run it as owner of the tables or superuser:
--
--   psql -d shop -f source_role.sql                                  asks for the new role's password
--   psql -d shop -v role=headrace_source -v schema=public -f source_role.sql     with other names than these
--   HEADRACE_SOURCE_PASSWORD=... psql -d shop -f source_role.sql     takes the password, or its SCRAM verifier, from there
--
-- Run it again for another schema, and when tables were added. From a table with row level security the role gets the rows
-- that the policies show it. Needs PostgreSQL 13 or newer.

\set ON_ERROR_STOP on
\if :{?role}
\else
  \set role headrace_source
\endif
\if :{?schema}
\else
  \set schema public
\endif
select :VERSION_NUM >= 150000 as has_getenv,
       not exists (select from pg_catalog.pg_roles where rolname = :'role') as is_new \gset
\if :has_getenv
  \getenv password HEADRACE_SOURCE_PASSWORD
\endif

begin;
\if :is_new
create role :"role" login;
\endif
alter role :"role" set default_transaction_read_only = on;
grant connect on database :"DBNAME" to :"role";
grant usage on schema :"schema" to :"role";
grant select on all tables in schema :"schema" to :"role";
commit;

-- So that tables to come are readable at once, let the role that creates them, here app, say:
--   alter default privileges for role app in schema public grant select on tables to headrace_source;

\if :{?password}
alter role :"role" password :'password';
\elif :is_new
  \echo Password of the new role:
  \password :"role"
\endif
