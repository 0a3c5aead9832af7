# shellcheck shell=bash
# The directory of logical backups: HEADRACE_BACKUP_DIR/logical/<moment>-<scope>, whole from the moment it has its name.
# What is being written is called .partial-<name>.
# shellcheck disable=SC2034 # the scripts use what is set here

# backups: names of whole backups, the newest first.
backups() { find "$BACKUPS/logical" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%f\n' 2>/dev/null | sort -r; }

# manifest NAME KEY: a value of a backup's manifest that is no object. jsonb_pretty() writes one a line.
manifest() { sed -nE "s/^    \"$2\": \"(.*)\",?\$/\1/p; s/^    \"$2\": ([^\"{[,]+),?\$/\1/p" "$BACKUPS/logical/$1/manifest.json"; }

# is_bad NAME: whether a verification found it bad.
is_bad() { [ -e "$BACKUPS/logical/$1.bad" ]; }

# sweep: deletes what scripts left that were killed; only under the lock.
sweep() {
  local left
  for left in "$BACKUPS"/logical/.partial-*; do
    [ -e "$left" ] || continue
    log "deleting ${left##*/}, which was never completed"
    rm -rf "$left"
  done
}

# seal DIRECTORY: writes the checksums of all files, and has all of it on the disk.
seal() {
  (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$1.sums"
  mv "$1.sums" "$1/SHA256SUMS"
  find "$1" -exec sync {} +
}

# check_sums NAME: whether all files of a backup are there as they were written, and no other.
check_sums() {
  local dir=$BACKUPS/logical/$1 said
  [[ -f $dir/SHA256SUMS && -f $dir/manifest.json ]] || { FINDING="SHA256SUMS or manifest.json is missing"; return 1; }
  said=$(cd "$dir" && sha256sum --check --quiet --strict SHA256SUMS 2>&1) || { FINDING=$(head -n 1 <<<"$said"); return 1; }
  said=$(cd "$dir" && diff <(find . -type f ! -name SHA256SUMS | sort) <(sed -E 's/^\\?[0-9a-f]{64}  //' SHA256SUMS | sort)) \
    || { FINDING="SHA256SUMS does not list the files that are there"; return 1; }
}

# prune: keeps the KEEP newest good backups of each scope and all that are younger than KEEP_DAYS. A backup goes only if
# enough good ones are newer, so the last good one never does.
prune() {
  local scope name good oldest
  oldest=$(date -u -d "$KEEP_DAYS days ago" +%Y%m%dT%H%M%SZ)
  for scope in $(backups | sed 's/^[^-]*-//' | sort -u); do
    good=0
    for name in $(backups | grep -e "-$scope\$"); do
      if [ "$good" -ge "$KEEP" ] && [[ ${name%%-*} < $oldest ]]; then
        log "deleting $name: $good newer ones are kept"
        mv "$BACKUPS/logical/$name" "$BACKUPS/logical/.partial-$name" # half deleted it must not look whole
        rm -rf "$BACKUPS/logical/.partial-$name" "$BACKUPS/logical/$name.bad"
      elif ! is_bad "$name"; then
        good=$((good + 1))
      fi
    done
  done
}

# choose LAYERS MOMENT BATCH: the newest backup that holds the layers and is not later than the moment or batch; empty
# conditions hold always. One that a verification found bad is passed over.
choose() {
  local name layer
  for name in $(backups); do
    is_bad "$name" && continue
    for layer in $1; do
      [[ " $(manifest "$name" layers) " = *" $layer "* ]] || continue 2
    done
    [ -z "$2" ] || [[ ! ${name%%-*} > $2 ]] || continue
    [ -z "$3" ] || [ "$(manifest "$name" batch)" = null ] || [ "$(manifest "$name" batch)" -le "$3" ] || continue
    printf '%s\n' "$name"
    return 0
  done
  return 1
}
