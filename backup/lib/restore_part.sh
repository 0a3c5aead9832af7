# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # shared variables
# restore.sh of a layer or a table: its rows are replaced, within the warehouse that exists and by one transaction. What is
# missing is made first, as it was. etl.after_restore() then has the next runs load anew what depends on it.

# layer_of RELATION
layer_of() {
  case $1 in mrr.* | stg.* | dwh.* | etl.*) echo "${1%%.*}" ;; *) echo base ;; esac
}

# tables_of_part: the tables of the backup that are restored: name, table whose rows are replaced (a partitioned one stands for
# its partitions), whether each is there now, rows, and the mirror whose first copy waited then (mrr.begin_copy). The change set
# of that was a view, beside a table stg.<mirror>_written: here it becomes an empty table, and the next run reads the mirror.
tables_of_part() {
  sql -v what="$WHAT" <<'SQL'
\set manifest `cat "$HEADRACE_MANIFEST"`
with stored as (
  select t.name, t.value, parse_ident(t.name) as ident from jsonb_each(:'manifest'::jsonb -> 'tables') t (name, value)
), copy as (
  select s.name as written, w.mirror, format('stg.%I', w.mirror || '_changes') as changes
  from stored s cross join lateral (select left(s.ident[2], -length('_written'))) w (mirror)
  where s.ident[1] = 'stg' and s.ident[2] = w.mirror || '_written'
    and not exists (select from stored x where x.name = format('stg.%I', w.mirror || '_changes'))
    and (to_regclass(format('mrr.%I', w.mirror)) is not null or exists (select from stored x where x.name = format('mrr.%I', w.mirror)))
)
select concat_ws('|', s.name, r.root, to_regclass(s.name) is not null, to_regclass(r.root) is not null, s.value ->> 'rows')
from stored s
cross join lateral (select case when s.name = :'what' then s.name else coalesce(s.value ->> 'root', s.name) end) r (root)
where :'what' in (s.value ->> 'layer', s.name, s.value ->> 'root') and s.name not in (select c.written from copy c)
union all
select concat_ws('|', c.changes, c.changes, x.is_there, x.is_there, 0, c.mirror)
from copy c cross join lateral (select to_regclass(c.changes) is not null) x (is_there)
where :'what' in ('stg', c.changes)
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
  cut -d '|' -f 6 -s "$WORK/part" | grep . | while IFS= read -r mirror; do
    PGDATABASE=$SCRATCH sql -v mirror="$mirror" <<<"select stg.end_copy(:'mirror', false);" >/dev/null
  done || true
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
  cut -d '|' -f 1 "$WORK/part" >"$WORK/names"
  awk -F '|' '$6 == "" { print $1 }' "$WORK/part" >"$WORK/tables"
  awk -F '|' '$3 == "f" { print $1 } $4 == "f" { print $2 }' "$WORK/part" | sort -u >"$WORK/missing"
  rows=$(awk -F '|' '{ n += $5 } END { print n }' "$WORK/part")
  plan "replace the rows of $(wc -l <"$WORK/names") tables of $WHAT in database $PGDATABASE by $rows rows, and make $(wc -l <"$WORK/missing") that are missing" \
    || die "$EXIT_REFUSED" "$WHAT in database $PGDATABASE would be overwritten" "Add --force."
  begin_entry
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
    [ ! -s "$WORK/part.list" ] || pg_restore --data-only --use-list="$WORK/part.list" --file=- "$STORE/$layer"
    printf "set local session_replication_role = origin;\nselect etl.after_restore(string_to_array('%s', E'\\\\n'), '%s');\ncommit;\n" \
      "$(sed "s/'/''/g" "$WORK/names")" "$IDENTITY"
  } >"$WORK/pipe" &
  send_script "$!"
  log "$WHAT: $rows rows are back; the next run of each pipeline concerned reads its tables in full"
  [ ! -s "$WORK/missing" ] || log "views and routines that went with the tables come back by a deployment: alembic upgrade head"
  mapfile -t tables < <(sed 's/.*/--table=&/' "$WORK/names")
  run vacuumdb --quiet --analyze "${tables[@]}" 2>"$WORK/err" || log "could not be analyzed: $(head -n 1 "$WORK/err")"
}
