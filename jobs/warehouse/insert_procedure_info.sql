-- Every hour: what the routines of the warehouse are, or were.
select '17 * * * *' as schedule, 'call dwh.insert_procedure_info()' as command, 'headrace_runner' as username;
