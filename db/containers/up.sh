#!/bin/sh
# Starts everything in containers: makes the secrets that are missing, builds the images, starts, waits until all is healthy.
# What follows is passed on to "docker compose up". Again, it changes what has changed. To stop: docker compose down there;
# with --volumes the data goes too.
set -eu
cd "$(dirname "$0")"
sh ./make_secrets.sh
exec docker compose up --build --detach --wait "$@"
