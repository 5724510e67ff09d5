#!/usr/bin/env bash
# Runs a command that finds a server of S3:
#
#   tests/s3/run.sh COMMAND…
#
# The command finds the program in GUILDHALL_TEST_S3. Each test starts it for itself, with a folder
# and a port of its own, and kills and starts it again as it likes (storage/tests/support/s3.rs); it
# does not outlive the test. In GUILDHALL_TEST_S3_TLS is a folder with a certificate for localhost
# (cert.pem, key.pem) and the authority that signed it (ca.pem); it needs openssl.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ $# -gt 0 ]] || { sed -n '2,4p' "$0" >&2; exit 2; }
GUILDHALL_TEST_S3=$("$here/install.sh")
export GUILDHALL_TEST_S3

GUILDHALL_TEST_S3_TLS=$(mktemp -d "${TMPDIR:-/tmp}/guildhall-s3.XXXXXX")
export GUILDHALL_TEST_S3_TLS
trap 'rm -rf "$GUILDHALL_TEST_S3_TLS"' EXIT
(
  cd "$GUILDHALL_TEST_S3_TLS"
  printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >extensions
  openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj "/CN=for tests"
  openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost
  openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile extensions
) >/dev/null 2>&1 || { echo "openssl cannot make a certificate for the tests" >&2; exit 1; }
"$@"
