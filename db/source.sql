-- What Headrace needs at a source, for its DBA to run in that database: a role that can read the tables and nothing
-- more. It can be run again. Give the role a password afterwards, in psql:  \password headrace_source
do $$
begin
    if to_regrole('headrace_source') is null then
        create role headrace_source login;
    end if;
    execute format('grant connect on database %I to headrace_source', current_database());
end
$$;
alter role headrace_source set default_transaction_read_only = on;
grant usage on schema public to headrace_source;
grant select on public.customers, public.products, public.sales to headrace_source;
