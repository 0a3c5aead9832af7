-- Contract: brings every table of etl.layout to where it says that it lives. Does nothing without Citus, nothing for tables
-- that do not exist (yet), and nothing for what is right already, so it may be called at any time: by the deployment, after
-- a restore, after a change of etl.layout. Moving a table that holds rows takes as long as copying it, and locks it.
-- The schema of the mirrors is made on the workers beforehand: a first mirror whose types are made in the same transaction does
-- not bring it there.
-- Stage functions are kept from being inlined there: Citus refuses to plan what it finds only after that.
-- Citus's functions and tables are named in dynamic SQL alone, since they may not be there.
-- Hazard: queries go on to the workers as the role that asks here, in SECURITY DEFINER routines as headrace_owner, so that
-- role must be let in by every node.
create or replace procedure etl.apply_layout()
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_partition text;
  v_workers text;
  v_relation text; -- no regclass, since a table that is moved gets another oid
  v_kind text;
  v_column text;
  v_now text;
  v_stage regprocedure;
begin
  select format('pg_dist_%s', 'partition'), format('run_command_on_%s', 'workers') into v_partition, v_workers
  from pg_extension e where e.extname = 'citus';
  if v_partition is null then
    return;
  end if;
  execute format('select %I(%L)', v_workers,
    'do $do$ begin set local citus.enable_ddl_propagation = off; create schema if not exists mrr authorization headrace_owner; end $do$');
  for v_relation, v_kind, v_column, v_now in execute format(
    'select w.relation, w.kind, w.distribution_column, w.kind_now'
    ' from ('
    '   select l.relation, l.kind, l.distribution_column,'
    '          case when p.partmethod = ''h'' then ''distributed'' when p.repmodel = ''t'' then ''reference'' else ''local'' end as kind_now,'
    '          case when p.partmethod = ''h'' then column_to_column_name(p.logicalrelid, p.partkey) end as column_now'
    '   from etl.layout l'
    '   join pg_class c on c.oid = to_regclass(l.relation)'
    '   left join %I p on p.logicalrelid = c.oid) w'
    ' where (w.kind, w.distribution_column) is distinct from (w.kind_now, w.column_now)'
    ' order by w.kind = ''distributed'', w.relation', v_partition)
  loop
    if v_now <> 'local' then
      execute format('select undistribute_table(%L)', v_relation);
    end if;
    if v_kind = 'distributed' then
      execute format('select create_distributed_table(%L, %L)', v_relation, v_column);
    elsif v_kind = 'reference' then
      execute format('select create_reference_table(%L)', v_relation);
    end if;
    raise notice '% is %', v_relation, concat_ws(' by ', v_kind, v_column);
  end loop;
  for v_stage in
    select distinct p.oid::regprocedure
    from etl.stage g
    join pg_proc p on p.oid = to_regprocedure(g.stage || '(bigint)')
    where p.prolang = (select l.oid from pg_language l where l.lanname = 'sql') and p.proconfig is null
  loop
    execute format('alter function %s set search_path = pg_catalog, pg_temp', v_stage);
  end loop;
end
$$;

comment on procedure etl.apply_layout() is
  'Distributes the tables of etl.layout as it says, on a cluster of Citus; does nothing without the extension, and nothing to what is right already. Deployment and restore call it. Raises what Citus raises. For the administrator (member of headrace_owner).';
revoke all on procedure etl.apply_layout() from public;
