-- Contract: the names in the header line of a file that file_fdw reads with these options, in order. Read through a foreign table
-- of one column that is there only meanwhile; quoted names may hold the delimiter, but no line break.
create or replace function etl.file_columns(p_source text, p_options jsonb)
returns table (ordinal bigint, column_name text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  c_separators constant text := E'\x02\x03'; -- characters that no header has, so that its line is one value
  v_delimiter constant text := coalesce(p_options ->> 'delimiter', case p_options ->> 'format' when 'csv' then ',' else E'\t' end);
  v_quote constant text := coalesce(p_options ->> 'quote', '"');
  v_line text;
begin
  execute format('create foreign table %I._hr_header (line text) server %1$I options (%s)', p_source, etl.option_list(
    p_options - array['header', 'null', 'escape', 'force_not_null', 'force_null', 'default', 'on_error', 'log_verbosity', 'reject_limit']
    || jsonb_build_object('format', 'csv', 'delimiter', left(c_separators, 1), 'quote', right(c_separators, 1))));
  begin
    execute format('select h.line from %I._hr_header h limit 1', p_source) into v_line;
  exception when undefined_file or insufficient_privilege then
    raise exception using
      errcode = sqlstate,
      message = sqlerrm,
      hint = 'The warehouse''s server reads the file, as the user of the machine that it runs as: it has to be there, and readable for that user.';
  end;
  execute format('drop foreign table %I._hr_header', p_source);
  if v_line like E'\uFEFF%' then
    raise exception using
      errcode = 'bad_copy_file_format',
      message = 'the file begins with a byte order mark, which would be part of its first column''s name',
      hint = 'Write the file without it.';
  end if;
  return query
    select m.ordinal, coalesce(replace(m.parts[1], v_quote || v_quote, v_quote), m.parts[2])
    from regexp_matches(v_delimiter || rtrim(v_line, E'\r'),
                        format('\%1$s(?:\%2$s((?:[^\%2$s]|\%2$s\%2$s)*)\%2$s|([^\%1$s]*))', v_delimiter, v_quote), 'g')
      with ordinality m (parts, ordinal);
end
$$;

comment on function etl.file_columns(text, jsonb) is
  'Names in the header line of a file that file_fdw reads with these options. Raises what the wrapper raises. Internal.';
revoke all on function etl.file_columns(text, jsonb) from public;
