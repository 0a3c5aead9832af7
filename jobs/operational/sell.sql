-- Every minute: the sample shop goes on selling.
select '* * * * *' as schedule, 'call public.sell()' as command, current_user::text as username;
