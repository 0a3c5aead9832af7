-- In the warehouse: a star of pgbench's bank. One dimension, the account with its branch; one fact, the transaction, which has no key.
--   python3 bootstrap.py psql warehouse -f db/examples/pgbench/star.sql
\set ON_ERROR_STOP on
begin;

-- Register: two tables in one pipeline, so that both come from one snapshot. The balance is left out: it changes with every
-- transaction, and the facts tell it.
call etl.add_table('op', 'public.pgbench_accounts', pipeline => 'bank', drop_columns => '{abalance,filler}');
call etl.add_table('op', 'public.pgbench_history', pipeline => 'bank', drop_columns => '{filler}');

-- Stage: names and types of the star, and what makes a row unfit.
call etl.create_stage('stg.account', 'pgbench_accounts', '{
  "account_id": "c.aid::bigint",
  "branch_id": "c.bid::bigint"
}');
call etl.create_stage('stg.transaction', 'pgbench_history', '{
  "account_id": "c.aid::bigint",
  "teller_id": "c.tid::bigint",
  "amount": "c.delta::bigint",
  "made_at": "c.mtime"
}', reason => $$case when c.aid is null then 'the transaction has no account'
                     when c.delta is null then 'the transaction has no amount' end$$);

-- Load: tables and steps are made by these calls.
call etl.add_dimension('dwh.dim_account', 'stg.account', surrogate_key => 'account_key', business_key => 'account_id', attributes => '{branch_id}');
call etl.add_fact('dwh.fact_transaction', 'stg.transaction', dimensions => '{dwh.dim_account}',
                  measures => '{amount}');

-- Check: what was captured and is fit is what is published.
call etl.add_check_sum_preserved('bank',
  from_query => 'select coalesce(sum(delta), 0) from mrr.pgbench_history where aid is not null',
  to_query   => 'select coalesce(sum(amount), 0) from dwh.fact_transaction',
  name       => 'amounts preserved');

-- Show: a view dwh.metric_… is a metric; readers of dwh may read it.
set local role headrace_owner;
create view dwh.metric_transactions as
select f.made_at::date as day, a.branch_id, count(*) as transactions, sum(f.amount) as amount
from dwh.fact_transaction f
join dwh.dim_account a on a.account_key = f.account_key
group by 1, 2;
comment on view dwh.metric_transactions is 'Transactions by day and branch: how many, and their amount.';
reset role;

commit;
