#!/usr/bin/env bash
# Prints the path of versitygw, a server of S3 that keeps plain files; the first time it is built into
# the cache, which takes Go and a network.
set -euo pipefail
version=1.8.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/guildhall/versitygw-$version
if [[ ! -x $cache/versitygw ]]; then
  command -v go >/dev/null || { echo "building versitygw needs Go 1.24 or later (Debian: golang-go; https://go.dev/dl)" >&2; exit 1; }
  echo "building versitygw $version into $cache" >&2
  mkdir -p "$cache"
  GOBIN=$cache GOFLAGS='' go install "github.com/versity/versitygw/cmd/versitygw@v$version" >&2
fi
echo "$cache/versitygw"
