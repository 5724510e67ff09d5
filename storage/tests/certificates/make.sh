#!/usr/bin/env bash
# Makes the certificates of the tests of TLS anew, for a hundred years; the authorities' keys are thrown
# away. They protect nothing: whoever reads this has the keys.
set -euo pipefail
cd "$(dirname "$0")"
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch)
for name in ca other-ca; do
  openssl req -x509 "${key[@]}" -days 36500 -keyout "$name.key" -out "$name.pem" -subj "/CN=$name" \
    -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign
done
sign() { # sign NAME EXTENSION
  printf '%s\n' "$2" basicConstraints=CA:false >"$1.cnf"
  openssl req "${key[@]}" -keyout "$1-key.pem" -out "$1.csr" -subj "/CN=$1"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 36500 -extfile "$1.cnf" -out "$1.pem"
}
sign node subjectAltName=DNS:db1.example,IP:10.0.0.1
sign client extendedKeyUsage=clientAuth
rm -f ./*.key ./*.csr ./*.cnf ./*.srl
