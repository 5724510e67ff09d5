#!/usr/bin/env bash
# The page in a real browser: two people chat in headless Chromium against a node started here.
#
#   tests/page/run.sh                     build the node if need be, run every check
#   SCREENSHOT=docs/screenshot.png tests/page/run.sh    also take the README's picture
#
# Installs what is missing: Debian's chromium, node and npm, and playwright-core (which brings no
# browser of its own). GUILDHALL_BIN names another binary, CHROMIUM another browser.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/guildhall
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
playwright=1.65.1

packages=()
command -v "${CHROMIUM:-chromium}" >/dev/null || packages+=(chromium fonts-noto-color-emoji fonts-dejavu-core)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
if ((${#packages[@]})); then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

modules=$cache/page-test
if [[ $(node -p "require('$modules/node_modules/playwright-core/package.json').version" 2>/dev/null) != "$playwright" ]]; then
  mkdir -p "$modules"
  npm install --silent --no-audit --no-fund --no-save --prefix "$modules" "playwright-core@$playwright"
fi

if [[ -z ${GUILDHALL_BIN:-} ]]; then
  cargo build --quiet --bin guildhall
  GUILDHALL_BIN=$CARGO_TARGET_DIR/debug/guildhall
fi

CHROMIUM=$(command -v "${CHROMIUM:-chromium}")
export GUILDHALL_BIN CHROMIUM PAGE_TEST_MODULES=$modules
exec node tests/page/chat.mjs
