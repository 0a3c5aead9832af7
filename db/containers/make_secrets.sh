#!/bin/sh
# Makes a random password for each role in ./secrets, or the directory given; what is there stays. Containers read the files
# through a mount of each, so these are readable; the directory lets no other user of this machine in.
set -eu
directory=${1:-$(dirname "$0")/secrets}
mkdir -p "$directory"
chmod 700 "$directory"
for name in operational_password warehouse_password source_password reader_password; do
  [ -s "$directory/$name" ] || {
    head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' >"$directory/$name"
    chmod 644 "$directory/$name"
  }
done
