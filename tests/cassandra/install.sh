#!/usr/bin/env bash
# Apache Cassandra's jars in the user's cache, by Maven; prints their folder. Done once: the folder
# is moved into place when it is whole, and named after pom.xml, so a new version gets a new one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

version=$(sed -n '/cassandra-all/,/<version>/s/.*<version>\(.*\)<\/version>.*/\1/p' "$here/pom.xml")
jars=${XDG_CACHE_HOME:-$HOME/.cache}/guildhall/cassandra-$version
if [[ ! -d $jars ]]; then
  command -v mvn >/dev/null || { echo "mvn is missing: apt-get install maven" >&2; exit 1; }
  mkdir -p "$(dirname "$jars")"
  new=$(mktemp -d "$jars.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  echo "fetching Apache Cassandra $version (66 MB)" >&2
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$new" >&2
  for needed in cassandra-all jamm logback-classic; do
    compgen -G "$new/$needed-*.jar" >/dev/null || { echo "Maven brought no $needed" >&2; exit 1; }
  done
  chmod 755 "$new"
  # Somebody else may have been faster.
  mv -T "$new" "$jars" 2>/dev/null || [[ -d $jars ]]
fi
echo "$jars"
