#!/usr/bin/env bash
# Stock clients decode many events, each over its compression, at the same time in one channel.
#   tests/clients/decode/run.sh [GUILDHALL-BINARY] [EVENTS]
# A client fails at a number that is missing, a content that is not what was sent, an error it
# reports, or a reconnect.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/guildhall
binary=$(realpath "${1:-$cache/target/debug/guildhall}")
events=${2:-3000}
# shellcheck source=tests/clients/install.sh
. "$here/../install.sh"
install_discordpy
install_discordjs

data=$(mktemp -d)
node_process=
clients=()
finish() {
  for process in "${clients[@]}" $node_process; do kill -KILL "$process" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$data"
}
trap finish EXIT

"$binary" dev --listen 127.0.0.1:0 --data "$data" --storage memory: --rate-limits off --print-env >"$data/env" &
node_process=$!
wait_for() { # wait_for FILE PATTERN
  for _ in $(seq 600); do
    grep -q "$2" "$1" 2>/dev/null && return 0
    kill -0 "$node_process" 2>/dev/null || { echo "the node ended" >&2; return 1; }
    sleep 0.1
  done
  echo "no $2 in $1 within 60 s" >&2
  cat "$1" >&2
  return 1
}
wait_for "$data/env" '^CHANNEL_ID='
set -a
# shellcheck disable=SC1091
. "$data/env"
set +a

export PYTHONDONTWRITEBYTECODE=1
# Modules are looked for beside the file that asks, so the files are put beside the modules.
work=$data/work
mkdir "$work"
cp "$here"/*.mjs "$work"
ln -s "$modules/node_modules" "$work/node_modules"

start() { # start NAME COMMAND…
  local name=$1
  shift
  "$@" >"$data/$name.log" 2>&1 &
  clients+=($!)
  wait_for "$data/$name.log" '^ready'
}
start discordpy-zlib env GUILDHALL_COMPRESSION=zlib "$venv/bin/python" "$here/discordpy.py"
start discordpy-zstd env GUILDHALL_COMPRESSION=zstd "$venv/bin/python" "$here/discordpy.py"
start discordjs node "$work/discordjs.mjs"
start discordjs-ws node "$work/discordjs_ws.mjs"
node "$work/publish.mjs" "$events"

failed=0
for number in "${!clients[@]}"; do
  timeout=$((60 + events / 100))
  for _ in $(seq $((timeout * 10))); do
    kill -0 "${clients[$number]}" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "${clients[$number]}" 2>/dev/null && echo "a client did not get the end within $timeout s" >&2
  wait "${clients[$number]}" || failed=1
done
clients=()
cat "$data"/discord*.log
exit "$failed"
