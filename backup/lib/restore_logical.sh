# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # shared variables
# restore.sh all: a whole warehouse from archives of pg_dump, into an empty or a new database by parallel pg_restore, or in the
# place of one that exists by one transaction.

readonly CONTENT="select exists (select from pg_namespace where nspname in ('etl', 'mrr', 'stg', 'dwh'))"
# What belongs to the server rather than to the warehouse: pg_cron, whose jobs are deployed anew.
readonly NOT_OURS='^[0-9]+; [0-9]+ [0-9]+ [A-Z ]+ (cron |- (EXTENSION )?pg_cron |- (SCHEMA )?cron )'

# pick: chooses the backup and holds it against its checksums. Sets NAME, STORE.
pick() {
  local layers=$1 moment=
  if [ -n "$AT" ]; then
    moment=$(date -u -d "$AT" +%Y%m%dT%H%M%SZ 2>/dev/null) || die "$EXIT_USAGE" "'$AT' is no moment" "Write it as '2026-03-01 14:00:00+00'."
  fi
  if [ -n "$FROM" ]; then
    NAME=$FROM
    [ -d "$BACKUPS/logical/$NAME" ] || die "$EXIT_USAGE" "there is no backup $NAME in $BACKUPS/logical" "backup.sh list"
  else
    NAME=$(choose "$layers" "$moment" "$BATCH") \
      || die "$EXIT_FAILED" "no good backup in $BACKUPS/logical holds $layers${AT:+ at $AT}${BATCH:+ at batch $BATCH}" "backup.sh list"
  fi
  STORE=$BACKUPS/logical/$NAME
  check_sums "$NAME" || die "$EXIT_BAD" "$NAME is not as it was written: $FINDING" "Take another one, or the copy that is kept elsewhere: --from NAME"
  export HEADRACE_MANIFEST=$STORE/manifest.json # psql reads it by \set, since it may be too long for a command line
  log "$NAME: taken at $(manifest "$NAME" taken_at), batch $(manifest "$NAME" batch), checksums hold"
}

# keep_passwords: the users and passwords of sources that the present warehouse knows, for the restored one.
keep_passwords() {
  PASSWORDS=$(sql 2>/dev/null <<<"copy (
    select m.srvname, (select o.option_value from pg_options_to_table(m.umoptions) o where o.option_name = 'user'),
           (select o.option_value from pg_options_to_table(m.umoptions) o where o.option_name = 'password')
    from pg_user_mappings m where m.usename = 'headrace_owner' and m.umoptions is not null) to stdout;") || PASSWORDS=
}

# give_passwords: the statements that put them into the restored user mappings; what is still missing comes from
# HEADRACE_SOURCE_PASSWORD and the users of the manifest. Passwords stay out of the server's log.
give_passwords() {
  cat <<SQL
set log_statement = 'none'; set log_min_error_statement = 'panic'; set log_min_duration_statement = -1;
\\set manifest \`cat "\$HEADRACE_MANIFEST"\`
create temporary table headrace_password (source text, username text, password text);
copy headrace_password from stdin;
${PASSWORDS:+$PASSWORDS
}\\.
\\getenv password HEADRACE_SOURCE_PASSWORD
\\if :{?password}
\\else
  \\set password ''
\\endif
insert into headrace_password
select s.source, s.value ->> 'user', :'password'
from jsonb_each(:'manifest'::jsonb -> 'sources') s (source, value)
where :'password' <> '' and not exists (select from headrace_password p where p.source = s.source);
select format('alter user mapping for headrace_owner server %I options (add user %L, add password %L)', p.source, p.username, p.password)
from headrace_password p
join pg_user_mappings m on m.srvname = p.source and m.usename = 'headrace_owner' and m.umoptions is null
where p.username is not null and p.password is not null \\gexec
SQL
}

# restore_failed MESSAGE: an archive could not be restored, and $WORK/err says why; verify.sh has a say in that.
restore_failed() {
  [ -z "$RESTORE_FAILED" ] || "$RESTORE_FAILED" "$1"
  die "$EXIT_FAILED" "$1"
}

# archive_list LAYER: the entries of an archive that are restored.
archive_list() {
  pg_restore --list "$STORE/$1" >"$WORK/$1.all" 2>"$WORK/err" || restore_failed "nothing was changed: archive $1 cannot be read: $(head -n 1 "$WORK/err")"
  grep -vE "$NOT_OURS" "$WORK/$1.all" >"$WORK/$1.list"
}

# data_layers: the archives that hold rows, in this backup.
data_layers() { manifest "$NAME" layers; }

make_roles() {
  # Roles that are there already are left as they are. Statements on them, and what only a newer server knows, are no error.
  local known
  known=$(sql -c "select quote_ident(rolname) from pg_roles")
  awk -v known="$known" 'BEGIN { n = split(known, k, "\n"); for (i = 1; i <= n; i++) is[k[i]] = 1 }
    /^(CREATE|ALTER) ROLE / { name = $3; sub(/;$/, "", name); if (name in is) next } { print }' "$STORE/roles.sql" \
    | psql -Xq -v VERBOSITY=terse >/dev/null 2>"$WORK/roles.err" || true
}

# new_database: makes the target with the origin's encoding and locale, if it is missing. Sets IS_NEW.
new_database() {
  local target=$PGDATABASE
  IS_NEW=
  sql -c "select" >/dev/null 2>&1 && return 0
  PGDATABASE=postgres sql -c "select" >/dev/null 2>"$WORK/err" || die "$EXIT_FAILED" "cannot reach the server: $(tail -n 1 "$WORK/err")"
  IS_NEW=1
  [ -z "$DRY" ] || return 0
  PGDATABASE=postgres sql -v name="$target" -v encoding="$(manifest "$NAME" encoding)" -v collate="$(manifest "$NAME" lc_collate)" -v ctype="$(manifest "$NAME" lc_ctype)" \
    <<<"create database :\"name\" template template0 encoding :'encoding' lc_collate :'collate' lc_ctype :'ctype';" \
    || die "$EXIT_FAILED" "database $target could not be made"
}

# grant_rights: the rights and settings of the database itself, which no archive of a schema holds.
grant_rights() {
  sql <<'SQL'
\set manifest `cat "$HEADRACE_MANIFEST"`
select format('revoke all on database %I from public', current_database()) \gexec
select format('grant %s on database %I to %s%s', r.value ->> 'privilege', current_database(), r.value ->> 'grantee',
              case when (r.value ->> 'grantable')::boolean then ' with grant option' else '' end)
from jsonb_array_elements(nullif(:'manifest'::jsonb -> 'rights', 'null')) r \gexec
select format('alter database %I set %s = %L', current_database(), split_part(s.value, '=', 1), substr(s.value, strpos(s.value, '=') + 1))
from jsonb_array_elements_text(nullif(:'manifest'::jsonb -> 'settings', 'null')) s \gexec
SQL
}

# pg_restore_part SECTION LAYER JOBS
pg_restore_part() {
  archive_list "$2"
  watch_step "$2: $1"
  run pg_restore --exit-on-error --no-password --section="$1" --jobs="$3" --use-list="$WORK/$2.list" --dbname="$PGDATABASE" "$STORE/$2" 2>"$WORK/err" \
    || restore_failed "$2 ($1) could not be restored: $(grep -m 1 error "$WORK/err" || tail -n 1 "$WORK/err")"
  end_watch
}

# restore_rows: into an empty database, in parallel, such that all is as it was.
restore_rows() {
  local layer
  make_roles
  grant_rights
  pg_restore_part pre-data base 1
  log "tables and routines are there"
  for layer in $(data_layers); do
    pg_restore_part data "$layer" "$JOBS"
    log "$layer: rows are there"
  done
  pg_restore_part post-data base "$JOBS"
  log "indexes and constraints are there"
}

# finish_restore: what makes a warehouse of it that may run.
finish_restore() {
  { give_passwords; printf "select etl.after_restore(null, '%s');\n" "$IDENTITY"; } | sql >/dev/null
  watch_step "analyzing"
  run vacuumdb --quiet --analyze-only --jobs="$JOBS" 2>"$WORK/err" || log "could not be analyzed: $(head -n 1 "$WORK/err")"
  end_watch
}

# send_script: psql executes what is written to the pipe, up to its commit; where the writer dies before that, nothing.
send_script() {
  CHILD=$1
  watch_step "restoring in one transaction"
  psql -XAtq -v ON_ERROR_STOP=1 --file="$WORK/pipe" >/dev/null 2>"$WORK/err" \
    || die "$EXIT_FAILED" "nothing was changed: $(grep -m 1 -E 'ERROR|FATAL' "$WORK/err" || tail -n 1 "$WORK/err")" "$(grep -m 1 HINT "$WORK/err" || true)"
  wait "$CHILD" || die "$EXIT_FAILED" "nothing was changed: the archives could not be read to their end"
  CHILD=
  end_watch
}

# restore_in_place: replaces all of a warehouse by one transaction. pg_cron and its jobs stay, and so does its id.
restore_in_place() {
  local layer
  [ "$IDENTITY" != auto ] || IDENTITY=$(sql -c "select etl.warehouse_id()" 2>/dev/null) || IDENTITY=auto
  for layer in $(data_layers); do archive_list "$layer"; done
  {
    cat <<'SQL'
begin;
set client_min_messages = warning;
select to_regprocedure('etl.lock_class()') is not null and to_regclass('etl.pipeline') is not null as is_whole \gset
\if :is_whole
  select pg_advisory_xact_lock(etl.lock_class(), p.pipeline_id) from etl.pipeline p order by p.pipeline_id;
\endif
select format('drop schema %I cascade', n.nspname)
from pg_namespace n
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'cron')
order by n.nspname \gexec
create schema public authorization pg_database_owner;
grant usage on schema public to public;
comment on schema public is 'standard public schema';
SQL
    pg_restore --section=pre-data --use-list="$WORK/base.list" --file=- "$STORE/base"
    for layer in $(data_layers); do pg_restore --section=data --use-list="$WORK/$layer.list" --file=- "$STORE/$layer"; done
    pg_restore --section=post-data --use-list="$WORK/base.list" --file=- "$STORE/base"
    give_passwords
    printf "select etl.after_restore(null, '%s');\n" "$IDENTITY"
    echo "commit;"
  } >"$WORK/pipe" &
  send_script "$!"
  run vacuumdb --quiet --analyze-only --jobs="$JOBS" 2>"$WORK/err" || log "could not be analyzed: $(head -n 1 "$WORK/err")"
}

clean_up_restore() {
  local name
  [ -n "${WORK:-}" ] || return 0
  if [ -n "${SCRATCH:-}" ]; then
    PGDATABASE=postgres sql -v name="$SCRATCH" <<<'drop database if exists :"name" with (force);' || true
  fi
  if [ -n "${MADE:-}" ]; then
    log "deleting database $PGDATABASE, which was not completed"
    name=$PGDATABASE
    PGDATABASE=postgres sql -v name="$name" <<<'drop database if exists :"name" with (force);' || true
  fi
  rm -rf "$WORK"
}

# missing_passwords: sources that a run could not log in to.
missing_passwords() {
  sql <<<"select string_agg(s.source, ', ') from etl.source s
    where not exists (select from pg_user_mappings m where m.srvname = s.source and m.usename = 'headrace_owner' and m.umoptions::text like '%password=%');"
}

# On a cluster of Citus, brings the tables to their nodes again; an older warehouse has no layout.
LAYOUT="do \$\$ begin if to_regprocedure('etl.apply_layout()') is not null then call etl.apply_layout(); end if; end \$\$"

# restore_logically: what stands on the command line.
restore_logically() {
  local has_content='' began=$SECONDS layers=$WHAT missing
  case $WHAT in all) layers=${LAYERS[*]} ;; *.*) layers=$(layer_of "$WHAT") ;; esac
  lock_place
  CLEAN_UP=clean_up_restore
  ends
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/headrace-restore-XXXXXX")
  mkfifo "$WORK/pipe"
  pick "$layers"
  keep_passwords
  [ -z "$INTO" ] || use_other_dsn "$INTO"
  SERVER_VERSION=$(manifest "$NAME" pg_dump)
  find_programs
  new_database
  [ -n "$IS_NEW" ] || has_content=$(sql -c "$CONTENT")
  if [ "$WHAT" != all ]; then
    [ "$has_content" = t ] || die "$EXIT_USAGE" "database $PGDATABASE has no warehouse to restore $WHAT in" "Restore everything: restore.sh all"
    restore_part
  elif [ "$has_content" = t ]; then
    plan "replace everything in database $PGDATABASE, pg_cron and its jobs excepted" \
      || die "$EXIT_REFUSED" "database $PGDATABASE has a warehouse, which would be overwritten" "Add --force, or restore beside it: --into postgresql://…/another_name"
    begin_entry
    restore_in_place
  else
    plan "restore everything into ${IS_NEW:+the new }database $PGDATABASE" new
    MADE=$IS_NEW
    restore_rows
    finish_restore
    MADE=
  fi
  sql -q -c "$LAYOUT" >/dev/null
  # the log may have gone back as well, to before this entry
  if [ -z "$ENTRY" ] || [ -z "$(sql -v entry="$ENTRY" <<<"select 1 from etl.backup_log where backup_log_id = :'entry';")" ]; then
    open_entry restore "$NAME"
  fi
  missing=$(missing_passwords)
  [ -z "$missing" ] || log "source $missing has no password yet: call etl.add_source(…), or restore with HEADRACE_SOURCE_PASSWORD set"
  close_entry succeeded "$WHAT, batch $(manifest "$NAME" batch), in $((SECONDS - began)) s"
  log "done: $WHAT from $NAME into $PGDATABASE in $((SECONDS - began)) s"
  [ "$WHAT" != all ] || log "its jobs are scheduled by a deployment: WAREHOUSE_DSN=… alembic upgrade head (bundled: python3 bootstrap.py up)"
}

# begin_entry: writes that a restore begins, so that one that fails is in the log too; a warehouse in ruins may have none.
begin_entry() { open_entry restore "$NAME" 2>/dev/null || ENTRY=''; }

# plan WORDS [new]: says what comes. Ends the script with --dry-run; false without --force where something is overwritten.
plan() {
  log "${DRY:+would }$1, from $NAME"
  if [ -n "$DRY" ]; then
    [ -n "$FORCE" ] || [ "${2:-}" = new ] || log "it would take --force, since that overwrites what is there"
    exit 0
  fi
  [ -n "$FORCE" ] || [ "${2:-}" = new ]
}
