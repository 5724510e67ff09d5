#!/usr/bin/env bash
# Runs a command that finds a server of S3:
#
#   tests/s3/run.sh COMMAND…
#
# The command finds the program in GUILDHALL_TEST_S3. Each test starts it for itself, with a folder
# and a port of its own, and kills and starts it again as it likes (storage/tests/support/s3.rs); it
# does not outlive the test.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ $# -gt 0 ]] || { sed -n '2,4p' "$0" >&2; exit 2; }
GUILDHALL_TEST_S3=$("$here/install.sh")
export GUILDHALL_TEST_S3
exec "$@"
