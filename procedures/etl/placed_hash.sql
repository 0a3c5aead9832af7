-- Contract: the value under which an index finds the row that has this number (an identity column) and this hash.
-- Hashes come in no order, so in one large index each row that is added meets a page of its own. So the rows of a table are
-- taken to be of generations, which begin where numbers pass a multiple of 2^32: those of a later one lie side by side in
-- the index, few and together. Whoever looks a hash up looks into each generation (etl.generations).
-- Invariant: in the first generation it is the hash itself, so rows of before there were others are found. Inlined.
create or replace function etl.placed_hash(p_number bigint, p_hash bigint)
returns bigint
language sql
immutable
parallel safe
as $$
  select case when p_number < 4294967296 then p_hash else (p_number & -4294967296) | (p_hash & 4294967295) end
$$;

comment on function etl.placed_hash(bigint, bigint) is
  'Value under which an index has a row: its hash, within the generation of its number. Internal.';
revoke all on function etl.placed_hash(bigint, bigint) from public;
