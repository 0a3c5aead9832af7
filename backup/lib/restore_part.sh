# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # shared variables
# restore.sh of a layer or a table: its rows are replaced, within the warehouse that exists and by one transaction. What is
# missing is made first, as it was. etl.after_restore() then has the next runs load anew what depends on it.

# layer_of RELATION
layer_of() {
  case $1 in mrr.* | stg.* | dwh.* | etl.*) echo "${1%%.*}" ;; *) echo base ;; esac
}

# tables_of_part: the tables of the backup that are restored: name, table whose rows are replaced (a partitioned one stands for
# its partitions), whether each is there now, rows. What stood beside a first copy that waited then (mrr.begin_copy) is left
# out: a copy that waits now is ended first, so the change set is a table.
tables_of_part() {
  sql -v what="$WHAT" <<'SQL'
\set manifest `cat "$HEADRACE_MANIFEST"`
select concat_ws('|', t.name, r.root, to_regclass(t.name) is not null, to_regclass(r.root) is not null, t.value ->> 'rows')
from jsonb_each(:'manifest'::jsonb -> 'tables') t (name, value)
cross join lateral (select case when t.name = :'what' then t.name else coalesce(t.value ->> 'root', t.name) end) r (root)
where :'what' in (t.value ->> 'layer', t.name, t.value ->> 'root')
  and not (t.name ~ '^stg[.].*_written"?$'
           and to_regclass(regexp_replace(t.name, '_written("?)$', '_changes\1')) is not null)
order by 1;
SQL
}

# scratch_definitions: the definitions of missing tables, or of the whole layer where its schema is missing, as pg_dump
# writes them from a database that has all definitions of the backup and no rows.
scratch_definitions() {
  local target=$PGDATABASE table options=()
  SCRATCH=headrace_scratch_$$
  log "missing in $target: $(wc -l <"$WORK/missing") tables; their definitions come from the backup"
  PGDATABASE=postgres sql -v name="$SCRATCH" <<<'create database :"name" template template0;'
  archive_list base
  PGDATABASE=$SCRATCH pg_restore --exit-on-error --schema-only --use-list="$WORK/base.list" --dbname="$SCRATCH" "$STORE/base" 2>"$WORK/err" \
    || die "$EXIT_FAILED" "the definitions could not be read: $(grep -m 1 error "$WORK/err")"
  if [ "$(sql -v layer="${WHAT%%.*}" <<<"select to_regnamespace(quote_ident(:'layer')) is null;")" = t ]; then
    options=(--schema="${WHAT%%.*}")
  else
    while IFS= read -r table; do options+=(--table="$table"); done <"$WORK/missing"
  fi
  pg_dump --schema-only --dbname="$SCRATCH" "${options[@]}" >"$WORK/definitions.sql"
  PGDATABASE=postgres sql -v name="$SCRATCH" <<<'drop database :"name" with (force);'
  SCRATCH=
}

# rows_of_part: the archive's rows of these tables. Sequences are moved on by etl.after_restore().
rows_of_part() {
  local layer=$1 name
  archive_list "$layer"
  while IFS= read -r name; do
    # the list writes names as they are, this file as SQL quotes them
    grep -F -- " TABLE DATA $(sql -v name="$name" <<<"select array_to_string(parse_ident(:'name'), ' ');") " "$WORK/$layer.list" || true
  done <"$WORK/tables" >"$WORK/part.list"
  [ "$(wc -l <"$WORK/part.list")" = "$(wc -l <"$WORK/tables")" ] || die "$EXIT_FAILED" "the archive does not hold all of $WHAT"
}

restore_part() {
  local layer rows tables
  layer=$(layer_of "$WHAT.")
  tables_of_part >"$WORK/part"
  [ -s "$WORK/part" ] || die "$EXIT_USAGE" "$NAME has no table $WHAT" "Its tables: $BACKUPS/logical/$NAME/manifest.json"
  cut -d '|' -f 1 "$WORK/part" >"$WORK/tables"
  awk -F '|' '$3 == "f" { print $1 } $4 == "f" { print $2 }' "$WORK/part" | sort -u >"$WORK/missing"
  rows=$(awk -F '|' '{ n += $5 } END { print n }' "$WORK/part")
  plan "replace the rows of $(wc -l <"$WORK/tables") tables of $WHAT in database $PGDATABASE by $rows rows, and make $(wc -l <"$WORK/missing") that are missing" \
    || die "$EXIT_REFUSED" "$WHAT in database $PGDATABASE would be overwritten" "Add --force."
  : >"$WORK/definitions.sql"
  [ ! -s "$WORK/missing" ] || scratch_definitions
  rows_of_part "$layer"
  {
    cat <<'SQL'
begin;
set client_min_messages = warning;
select pg_advisory_xact_lock(etl.lock_class(), p.pipeline_id) from etl.pipeline p order by p.pipeline_id;
select to_regprocedure('stg.end_copy(text, boolean)') is not null as has_copies \gset
\if :has_copies
  select stg.end_copy(t.mirror, true)
  from etl.source_table t
  where stg.is_copy(t.mirror) and to_regclass(format('mrr.%I', t.mirror)) is not null and to_regclass(format('stg.%I', t.mirror || '_changes')) is not null;
\endif
set local session_replication_role = replica;
SQL
    cat "$WORK/definitions.sql"
    cut -d '|' -f 2 "$WORK/part" | sort -u | while IFS= read -r root; do printf 'delete from %s;\n' "$root"; done
    pg_restore --data-only --use-list="$WORK/part.list" --file=- "$STORE/$layer"
    printf "set local session_replication_role = origin;\nselect etl.after_restore(string_to_array('%s', E'\\\\n'), '%s');\ncommit;\n" \
      "$(sed "s/'/''/g" "$WORK/tables")" "$IDENTITY"
  } >"$WORK/pipe" &
  send_script "$!"
  log "$WHAT: $rows rows are back; the next run of each pipeline concerned reads its tables in full"
  [ ! -s "$WORK/missing" ] || log "views and routines that went with the tables come back by a deployment: alembic upgrade head"
  mapfile -t tables < <(sed 's/.*/--table=&/' "$WORK/tables")
  run vacuumdb --quiet --analyze "${tables[@]}" 2>"$WORK/err" || log "could not be analyzed: $(head -n 1 "$WORK/err")"
}
