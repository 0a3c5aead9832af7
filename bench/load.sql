-- The warehouse's side of the load proof: three dimensions and a fact of pgbench's tables, in the pipeline pgbench. In pgbench's
-- own books the sums of the accounts', the tellers' and the branches' balances and of the history are always the same;
-- whoever reads dwh at whatever moment must find them so.
set role headrace_owner;

do $$
declare
  v_member record;
begin
  for v_member in select * from (values ('account', 'aid', 'abalance'), ('teller', 'tid', 'tbalance'), ('branch', 'bid', 'bbalance')) m (name, key, balance) loop
    execute format('
      create table dwh.dim_%1$s (
        %1$s_key bigint generated always as identity primary key,
        source text not null, %1$s_id bigint not null, balance bigint,
        valid_from timestamptz not null, valid_to timestamptz not null default ''infinity'',
        is_current boolean not null default true, is_inferred boolean not null default false,
        batch_from bigint not null, batch_to bigint not null default 9223372036854775807,
        check (valid_from < valid_to), check (batch_from < batch_to), check (is_current = (valid_to = ''infinity'')),
        exclude using gist (source with =, %1$s_id with =, tstzrange(valid_from, valid_to) with &&));
      create unique index on dwh.dim_%1$s (source, %1$s_id) where is_current;
      create unique index on dwh.dim_%1$s (source, %1$s_id, batch_from);
      create function stg.%1$s(p_batch bigint)
      returns table (change_seq bigint, op "char", origin bigint, source text, %1$s_id bigint, balance bigint, reason text)
      language sql stable as $f$
        select c._hr_seq, c._hr_op, coalesce(c._hr_origin, c._hr_batch), ''op'', c.%2$s::bigint, c.%3$s::bigint, null::text
        from stg.pgbench_%4$s_changes c where c._hr_batch = p_batch
      $f$;
      revoke all on function stg.%1$s(bigint) from public',
      v_member.name, v_member.key, v_member.balance, case v_member.name when 'branch' then 'branches' else v_member.name || 's' end);
  end loop;
end
$$;

create table dwh.fact_move (
  account_key bigint not null, teller_id bigint not null, branch_id bigint not null, account_id bigint not null,
  delta bigint not null, moved_at timestamp not null, batch_id bigint not null);
create index on dwh.fact_move (account_id);

create function stg.move(p_batch bigint)
returns table (change_seq bigint, op "char", origin bigint, source text, teller_id bigint, branch_id bigint, account_id bigint,
               delta bigint, moved_at timestamp, reason text)
language sql stable as $$
  select c._hr_seq, c._hr_op, coalesce(c._hr_origin, c._hr_batch), 'op',
         c.tid::bigint, c.bid::bigint, c.aid::bigint, c.delta::bigint, c.mtime, null::text
  from stg.pgbench_history_changes c where c._hr_batch = p_batch
$$;
revoke all on function stg.move(bigint) from public;

-- The history has no key: of n equal rows that go, any n go.
create function dwh.load_fact_move(p_batch bigint, p_step etl.step)
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_counts etl.row_counts := etl.counts();
  v_fit bigint;
  v_gone bigint;
begin
  select count(*), count(*) filter (where s.op = 'I'), count(*) filter (where s.op = 'D')
    into v_counts.rows_read, v_fit, v_gone from stg.move(p_batch) s;
  if exists (select from stg.move(p_batch) s where s.op = 'T') then
    delete from dwh.fact_move;
  end if;
  with going as (
    select s.account_id, s.teller_id, s.branch_id, s.delta, s.moved_at, count(*) as copies
    from stg.move(p_batch) s where s.op = 'D' group by 1, 2, 3, 4, 5
  ), victims as (
    select f.ctid as place, g.copies, row_number() over (partition by g.account_id, g.teller_id, g.branch_id, g.delta, g.moved_at) as number
    from going g join dwh.fact_move f using (account_id, teller_id, branch_id, delta, moved_at)
  ), removed as (
    delete from dwh.fact_move f using victims v where f.ctid = v.place and v.number <= v.copies returning 1
  )
  select count(*) into v_counts.rows_deleted from removed;
  with added as (
    insert into dwh.fact_move
    select d.account_key, s.teller_id, s.branch_id, s.account_id, s.delta, s.moved_at, s.origin
    from stg.move(p_batch) s
    join dwh.dim_account d on d.source = s.source and d.account_id = s.account_id and d.batch_from <= s.origin and s.origin < d.batch_to
    where s.op = 'I' returning 1
  )
  select count(*) into v_counts.rows_inserted from added;
  if (v_counts.rows_inserted, v_counts.rows_deleted) is distinct from (v_fit, v_gone) then
    raise exception 'batch % has % new and % gone moves, but % and % were found', p_batch, v_fit, v_gone, v_counts.rows_inserted, v_counts.rows_deleted;
  end if;
  return v_counts;
end
$$;
revoke all on function dwh.load_fact_move(bigint, etl.step) from public;
reset role;

call etl.add_stage('stg.account', 'pgbench_accounts');
call etl.add_stage('stg.teller', 'pgbench_tellers');
call etl.add_stage('stg.branch', 'pgbench_branches');
call etl.add_stage('stg.move', 'pgbench_history');
call etl.add_dimension('dwh.dim_account', 'stg.account', 'account_key', 'account_id', '{balance}');
call etl.add_dimension('dwh.dim_teller', 'stg.teller', 'teller_key', 'teller_id', '{balance}');
call etl.add_dimension('dwh.dim_branch', 'stg.branch', 'branch_key', 'branch_id', '{balance}');
call etl.add_step('pgbench', 'judge', 'stg.judge', 'stg.quarantine', stages => '{stg.account,stg.teller,stg.branch,stg.move}');
call etl.add_step('pgbench', 'dim_account', 'dwh.load_dimension', 'dwh.dim_account', stages => '{stg.account}', depends_on => '{judge}');
call etl.add_step('pgbench', 'dim_teller', 'dwh.load_dimension', 'dwh.dim_teller', stages => '{stg.teller}', depends_on => '{judge}');
call etl.add_step('pgbench', 'dim_branch', 'dwh.load_dimension', 'dwh.dim_branch', stages => '{stg.branch}', depends_on => '{judge}');
call etl.add_step('pgbench', 'fact_move', 'dwh.load_fact_move', 'dwh.fact_move', stages => '{stg.move}', depends_on => '{dim_account}');
