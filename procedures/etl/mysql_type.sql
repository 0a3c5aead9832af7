-- Contract: the type here that holds every value of a MySQL or MariaDB column type, as information_schema writes it; null where there is
-- none that mysql_fdw fills rightly. Unsigned integers get the next larger type; TIMESTAMP, which is read in UTC, stays without
-- a time zone, since only so can MySQL be asked for what is newer than a mark; TIME may exceed a day.
-- What the wrapper would buffer whole in memory before the first row (text) is left to the types that need it: 64 kB is all
-- that it reads of the others. Of blob types it reads 8 kB, and ends the scan quietly at a longer one; mrr.read_foreign() notices.
create or replace function etl.mysql_type(p_type text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when t.name in ('tinyint', 'year') then 'smallint'
    when t.name = 'smallint' then case when t.is_unsigned then 'integer' else 'smallint' end
    when t.name = 'mediumint' then 'integer'
    when t.name in ('int', 'integer') then case when t.is_unsigned then 'bigint' else 'integer' end
    when t.name = 'bigint' then case when t.is_unsigned then 'numeric(20,0)' else 'bigint' end
    when t.name = 'decimal' then 'numeric' || coalesce(t.arguments, '')
    when t.name = 'float' then 'real'
    when t.name = 'double' then 'double precision'
    when t.name = 'bit' and t.arguments = '(1)' then 'bit(1)'
    when t.name in ('char', 'varchar') and t.arguments <> '(0)' then 'character varying' || t.arguments
    when t.name in ('char', 'varchar', 'tinytext', 'text', 'enum', 'set') then 'character varying'
    when t.name in ('mediumtext', 'longtext', 'json') then 'text'
    when t.name in ('binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob') then 'bytea'
    when t.name = 'date' then 'date'
    when t.name in ('datetime', 'timestamp') then 'timestamp' || coalesce(t.arguments, '(0)') || ' without time zone'
    when t.name = 'time' then 'interval'
    when t.name = 'uuid' then 'uuid'
    when t.name in ('inet4', 'inet6') then 'inet' end
  from (select substring(lower(p_type) from '^[a-z0-9]+') as name, substring(lower(p_type) from '^[a-z0-9]+(\([0-9,]+\))') as arguments,
               lower(p_type) ~ ' unsigned' as is_unsigned) t
$$;

comment on function etl.mysql_type(text) is
  'Type here for a column type of MySQL or MariaDB; null where none holds it. Internal.';
revoke all on function etl.mysql_type(text) from public;
