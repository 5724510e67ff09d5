#!/usr/bin/env bash
# Runs the suite of stock discord.py against a node this script starts.
#   tests/clients/discordpy/run.sh [GUILDHALL-BINARY] [PYTEST-ARGUMENT…]
# The suite runs over zstd-stream and over zlib-stream without rate limits; test_rate_limits.py
# runs with them. With STORAGE=URL the node keeps its messages there; KEYSPACE in it is a new name for
# each node, as each has a data directory of its own: tests/cassandra/clients.sh. COMPRESSIONS=zstd
# leaves out the other.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/guildhall
binary=$(realpath "${1:-$cache/target/debug/guildhall}")
[ $# -gt 0 ] && shift

# shellcheck source=tests/clients/install.sh
. "$here/../install.sh"
install_discordpy

node=
data=
stop_node() {
  if [ -n "$node" ]; then
    kill -TERM "$node" 2>/dev/null || true
    for _ in $(seq 300); do
      kill -0 "$node" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$node" 2>/dev/null || true
    wait "$node" 2>/dev/null || true
    node=
  fi
  [ -z "$data" ] || rm -rf "$data"
  data=
}
trap stop_node EXIT

start_node() {
  data=$(mktemp -d)
  local storage=${STORAGE-}
  [ -z "$storage" ] || set -- "$@" --storage "${storage//KEYSPACE/clients_$$_$RANDOM}"
  "$binary" dev --listen 127.0.0.1:0 --data "$data" --print-env "$@" >"$data/env" &
  node=$!
  for _ in $(seq 300); do
    grep -q '^CHANNEL_ID=' "$data/env" 2>/dev/null && break
    kill -0 "$node" 2>/dev/null || { echo "the node ended before it served" >&2; exit 1; }
    sleep 0.1
  done
  grep -q '^CHANNEL_ID=' "$data/env" || { echo "the node did not serve within 30 s" >&2; exit 1; }
  export GUILDHALL_BINARY=$binary GUILDHALL_DATA=$data
  set -a
  # shellcheck disable=SC1091
  . "$data/env"
  set +a
}

suite() {
  (cd "$here" && timeout 600 "$venv/bin/python" -m pytest -p no:cacheprovider -q "$@")
}

export PYTHONDONTWRITEBYTECODE=1
for compression in ${COMPRESSIONS:-zstd zlib}; do
  echo "-- discord.py 2.7.1, $compression-stream"
  start_node --rate-limits off
  GUILDHALL_COMPRESSION=$compression suite --ignore=test_rate_limits.py "$@"
  stop_node
done
# Limits know no store.
[ -z "${STORAGE-}" ] || exit 0
echo "-- discord.py 2.7.1, rate limits on"
start_node --rate-limits on
suite test_rate_limits.py
stop_node
