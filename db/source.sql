-- For the administrator of a source: makes the role that Headrace reads with. It may connect to this database and read the
-- tables of one schema; nothing is installed and nothing else is granted. Run it as owner of the tables or superuser:
--
--   psql -d shop -f source.sql                                            asks for the new role's password
--   psql -d shop -v role=headrace_source -v schema=public -f source.sql   with other names than these
--   HEADRACE_SOURCE_PASSWORD=... psql -d shop -f source.sql               takes the password, or its SCRAM verifier, from there
--
-- Run it again for another schema, and when tables were added. From a table with row level security the role gets the rows
-- that the policies show it. Needs PostgreSQL 13 or newer.
--
-- For capture by log name the tables of a pipeline too, and what they are published as; etl.add_table(...) says the name:
--
--   psql -d shop -v publication=headrace_..._shop -v tables='public.customers, public.sales' -f source.sql
--
-- The role may then replicate, the tables are published, and those without a primary key, which is a replica identity by
-- itself, tell their old rows whole: without that the application's own UPDATE and DELETE on them would fail. The server
-- needs wal_level = logical and a limit for what a forgotten slot keeps, such as max_slot_wal_keep_size = '50GB'.

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
\if :{?publication}
  alter role :"role" replication;
  select not exists (select from pg_catalog.pg_publication where pubname = :'publication') as is_unpublished \gset
  \if :is_unpublished
    create publication :"publication" with (publish_via_partition_root = true);
  \endif
  select format('alter publication %I add table %s', :'publication', t.relation)
  from (select btrim(n)::regclass as relation from unnest(string_to_array(:'tables', ',')) n) t
  where not exists (select from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid
                    where p.pubname = :'publication' and r.prrelid = t.relation) \gexec
  select format('alter table %s replica identity full', c.oid::regclass)
  from pg_catalog.pg_publication p
  join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
  join pg_catalog.pg_class c on c.oid = r.prrelid
  where p.pubname = :'publication' and c.relreplident = 'd'
    and not exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary) \gexec
\endif
commit;
begin; -- by itself: an ANALYZE that waits to note a table's size behind a GRANT would hold the lock that publishing waits for
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
