-- Contract: waits for the answer to a statement that was sent over a dblink connection, without holding off a cancel:
-- dblink's own calls block in libpq, which PostgreSQL 15 and 16 cannot interrupt.
-- Each look takes in one buffer of the answer, some 16 kB, so many looks go between two pauses; pauses lengthen slowly, so a
-- fast source is not slowed down and a blocked one costs next to nothing.
create or replace function etl.await_answer(p_connection text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pause double precision := 0.001::double precision;
  v_looks integer := 0;
begin
  while etl_ext.dblink_is_busy(p_connection) = 1 loop
    v_looks := v_looks + 1;
    if v_looks % 64 = 0 then
      perform pg_sleep(v_pause);
      v_pause := least(v_pause * 1.02, 0.02);
    end if;
  end loop;
end
$$;

comment on function etl.await_answer(text) is
  'Waits, cancellable, until the answer on the dblink connection p_connection can be fetched. Internal.';
revoke all on function etl.await_answer(text) from public;
