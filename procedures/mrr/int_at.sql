-- Contract: the unsigned integer of p_bytes bytes, most significant first, at an offset of a protocol message.
create or replace function mrr.int_at(p_message bytea, p_offset integer, p_bytes integer)
returns bigint
language sql
immutable
parallel safe
as $$
  select ('x' || lpad(encode(substr(p_message, p_offset + 1, p_bytes), 'hex'), 16, '0'))::bit(64)::bigint
$$;

comment on function mrr.int_at(bytea, integer, integer) is
  'Big-endian integer of p_bytes bytes at p_offset (from 0) of a pgoutput message. Internal.';
revoke all on function mrr.int_at(bytea, integer, integer) from public;
