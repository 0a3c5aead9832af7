-- Captures all that waits in the slot, and does nothing with it.
do $$
declare
  v_run bigint;
  v_outcome etl.outcome;
begin
  loop
    v_run := null;
    v_outcome := null;
    call mrr.capture('sales', v_run, v_outcome);
    commit; -- from here on the slot may be moved up, which the next capture does
    if ((v_outcome).failure).message is not null then
      raise exception 'the capture failed: %', ((v_outcome).failure).message;
    end if;
    exit when not coalesce((v_outcome).more, false);
  end loop;
end
$$;
