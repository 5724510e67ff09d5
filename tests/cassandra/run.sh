#!/usr/bin/env bash
# Runs a command beside Apache Cassandra, on loopback, with ports and a folder of its own:
#
#   tests/cassandra/run.sh [--nodes 1|3] [--heap 512M] [--durable] [--as-it-comes] [--tls | --tls-clients] COMMAND…
#
# --durable: a write is on the disk before it is acknowledged, so that one node that is killed has
# lost nothing. --as-it-comes: with its own limit of batches, which is too small for Guildhall, and
# with a password (cassandra). --tls: takes encrypted connections only; --tls-clients: and only from who
# shows a certificate. What a client needs for it is in GUILDHALL_TEST_CQL_OPTIONS, to be put behind the
# other options of a URL, and in GUILDHALL_TEST_CQL_DIR/tls, with an authority (other-ca.pem) that has
# signed nothing. One node is reached at other addresses too, which its certificate is not for.
#
# The command finds the nodes in GUILDHALL_TEST_CQL (scylla://127.0.0.1:PORT[,127.0.0.2:PORT…]), their
# process ids, in the same order, in GUILDHALL_TEST_CQL_PIDS, and in GUILDHALL_TEST_CQL_DIR the folder
# where N/run starts node N again after it was killed, and N/pid has the process id it has now. At the end, however it comes, the nodes are
# killed and their data is deleted. KEEP=1 leaves the folder for whoever wants to look.
#
# Needs a JDK 17 (JAVA_HOME, or the one java is of) and, the first time, Maven and a network.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

nodes=1 heap=512M login= tls=
commitlog="commitlog_sync: periodic\\ncommitlog_sync_period: 10000ms"
authenticator=AllowAllAuthenticator
# What ScyllaDB has by default, and what Guildhall needs: Cassandra's own 50 KiB refuses one long message.
batches="batch_size_warn_threshold: 256KiB\\nbatch_size_fail_threshold: 1024KiB"
while [[ ${1-} == --* ]]; do
  case $1 in
    --nodes) nodes=$2; shift 2 ;;
    --heap) heap=$2; shift 2 ;;
    --durable) commitlog="commitlog_sync: group\\ncommitlog_sync_group_window: 5ms"; shift ;;
    --as-it-comes) authenticator=PasswordAuthenticator batches="" login=cassandra:cassandra@; shift ;;
    --tls) tls=false; shift ;;
    --tls-clients) tls=true; shift ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
done
[[ $nodes =~ ^[1-3]$ && $# -gt 0 ]] || { sed -n '2,5p' "$0" >&2; exit 2; }

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
version=$("$java" -XshowSettings:properties -version 2>&1 | sed -n 's/ *java.specification.version = //p') || true
[[ $version == 17 ]] || { echo "Cassandra needs a JDK 17, $java is ${version:-missing}; set JAVA_HOME" >&2; exit 1; }
jars=$("$here/install.sh")

work=$(mktemp -d "${TMPDIR:-/tmp}/guildhall-cassandra.XXXXXX")
pids=() command=
finish() {
  trap - EXIT INT TERM
  [[ -z $command ]] || kill "$command" 2>/dev/null || true
  for node in "$work"/*/pid; do
    [[ ! -e $node ]] || kill -KILL "$(<"$node")" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  [[ ${KEEP-} == 1 ]] && echo "kept: $work" >&2 || rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Two ports that nobody listens on, the same on all addresses.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}
storage_port=$(free_port) cql_port=$(free_port)

# An authority, what it has signed for the nodes and for a client, and another that signs nothing.
encryption="" options=""
certificates() { # in $work/tls
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch) authority san=DNS:cassandra.test node
  for authority in ca other-ca; do
    openssl req -x509 "${key[@]}" -days 30 -keyout "$authority-key.pem" -out "$authority.pem" -subj "/CN=$authority of a test" \
      -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign || return
  done
  for ((node = 1; node <= nodes; node++)); do san+=,IP:127.0.0.$node; done
  signed node "subjectAltName=$san" && signed client extendedKeyUsage=clientAuth || return
  openssl pkcs12 -export -in node.pem -inkey node-key.pem -name node -passout pass:guildhall -out node.p12 || return
  "${java%java}keytool" -importcert -noprompt -alias ca -file ca.pem -storetype PKCS12 -keystore trust.p12 -storepass guildhall
}
signed() { # signed NAME EXTENSION
  printf '%s\n' "$2" basicConstraints=CA:false >"$1.cnf"
  openssl req "${key[@]}" -keyout "$1-key.pem" -out "$1.csr" -subj "/CN=$1 of a test" \
    && openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 30 -extfile "$1.cnf" -out "$1.pem"
}
if [[ -n $tls ]]; then
  command -v openssl >/dev/null || { echo "openssl is missing: apt-get install openssl" >&2; exit 1; }
  mkdir "$work/tls"
  (cd "$work/tls" && certificates >log 2>&1) || { cat "$work/tls/log" >&2; exit 1; }
  encryption="client_encryption_options:\n  enabled: true\n  optional: false\n  require_client_auth: $tls\n  store_type: PKCS12\n"
  encryption+="  keystore: $work/tls/node.p12\n  keystore_password: guildhall\n  truststore: $work/tls/trust.p12\n  truststore_password: guildhall"
  options="&tls=on&tls_ca=$work/tls/ca.pem"
  [[ $tls == false ]] || options+="&tls_cert=$work/tls/client.pem&tls_key=$work/tls/client-key.pem"
fi

# A node does not outlive this script, even when the script is killed.
with_me=()
command -v setpriv >/dev/null && with_me=(setpriv --pdeathsig KILL)

start() { # start NUMBER
  local address=127.0.0.$1 dir=$work/$1 ring_delay=1 cql_address
  cql_address=$address
  [[ -z $tls || $nodes != 1 ]] || cql_address=0.0.0.0
  mkdir -p "$dir/conf"
  : >"$dir/out"
  # A joining node needs time to hear from the seed.
  [[ $1 == 1 ]] || ring_delay=5000
  sed "s/@ADDRESS@/$address/; s/@CQL_ADDRESS@/$cql_address/; s|@ENCRYPTION@|$encryption|; s/@STORAGE_PORT@/$storage_port/; s/@CQL_PORT@/$cql_port/; \
       s/@COMMITLOG@/$commitlog/; s/@AUTHENTICATOR@/$authenticator/; s/@BATCHES@/$batches/" \
    "$here/cassandra.yaml" >"$dir/conf/cassandra.yaml"
  cp "$here/logback.xml" "$dir/conf/"
  printf '#!/bin/sh\necho $$ >%q\nexec' "$dir/pid" >"$dir/run"
  printf ' %q' "${with_me[@]}" "$java" "@$here/jvm.args" "-Xms$heap" "-Xmx$heap" -javaagent:"$(compgen -G "$jars/jamm-*.jar")" \
    -Dcassandra.config="file://$dir/conf/cassandra.yaml" -Dlogback.configurationFile="file://$dir/conf/logback.xml" \
    -Dcassandra.storagedir="$dir/data" -Dcassandra.logdir="$dir/log" -Dcassandra-foreground=yes \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=$ring_delay \
    -Dcassandra.superuser_setup_delay_ms=0 \
    -cp "$dir/conf:$jars/*" org.apache.cassandra.service.CassandraDaemon >>"$dir/run"
  chmod 755 "$dir/run"
  "$dir/run" >"$dir/out" 2>&1 </dev/null &
  pids[$1 - 1]=$!
}

ready() { # ready NUMBER: whether it came up in time
  local out=$work/$1/out pid=${pids[$1 - 1]} deadline=$((SECONDS + 180))
  until grep -q "Starting listening for CQL clients" "$out" \
    && { [[ -z $login ]] || grep -q "Created default superuser role" "$out"; }; do
    kill -0 "$pid" 2>/dev/null && ((SECONDS <= deadline)) || return 1
    sleep 0.2
  done
}

# On a machine that is busy a node may not hear of the others in time, and then ends itself: it is
# started again with nothing.
start_surely() { # start_surely NUMBER
  local try
  for try in 1 2 3; do
    start "$1"
    ready "$1" && return
    kill -KILL "${pids[$1 - 1]}" 2>/dev/null || true
    echo "node $1 of Cassandra did not start ($try of 3 tries); what it complained of and the end of what it said:" >&2
    grep -A5 -E "^ERROR |Exception" "$work/$1/out" | head -40 >&2 || true
    tail -30 "$work/$1/out" >&2
    rm -rf "${work:?}/$1"
  done
  exit 1
}

began=$SECONDS contact=
for ((node = 1; node <= nodes; node++)); do
  start_surely "$node"
  contact+=${contact:+,}127.0.0.$node:$cql_port
done
# Each must have heard of all others, or what is sent to one early finds fewer replicas than there are.
deadline=$((SECONDS + 120))
for ((node = 1; node <= nodes; node++)); do
  for ((other = 1; other <= nodes; other++)); do
    until [[ $node == "$other" ]] || grep -q "/127.0.0.$other:$storage_port is now UP" "$work/$node/out"; do
      ((SECONDS <= deadline)) || { echo "node $node of Cassandra does not hear of node $other" >&2; exit 1; }
      sleep 0.2
    done
  done
done
echo "Cassandra: $nodes node(s) on port $cql_port, ready in $((SECONDS - began)) s" >&2

export GUILDHALL_TEST_CQL=scylla://$login$contact GUILDHALL_TEST_CQL_OPTIONS=$options
export GUILDHALL_TEST_CQL_PIDS=${pids[*]} GUILDHALL_TEST_CQL_DIR=$work
# Waited for, not run in front: only so a signal ends it at once.
"$@" <&0 &
command=$!
status=0
wait "$command" || status=$?
if ((status)); then
  for ((node = 1; node <= nodes; node++)); do
    echo "warnings of node $node:" >&2
    grep -E "^(WARN|ERROR) " "$work/$node/out" | grep -v StartupChecks | tail -10 >&2 || true
  done
fi
exit "$status"
