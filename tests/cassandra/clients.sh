#!/usr/bin/env bash
# Runs the suite of stock discord.py against nodes whose messages are in the cluster that
# GUILDHALL_TEST_CQL names:
#   tests/cassandra/run.sh tests/cassandra/clients.sh [GUILDHALL-BINARY] [PYTEST-ARGUMENT…]
set -euo pipefail

: "${GUILDHALL_TEST_CQL:?names no cluster; tests/cassandra/run.sh COMMAND starts one}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export STORAGE="$GUILDHALL_TEST_CQL/KEYSPACE?replication_factor=1${GUILDHALL_TEST_CQL_OPTIONS-}"
exec "$here/../clients/discordpy/run.sh" "$@"
