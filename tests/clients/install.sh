# Installs the stock clients of the suites into the user's cache; sourced by them.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/guildhall
venv=$cache/venv
modules=$cache/discordjs-14.28.1

install_discordpy() {
  local marker=$venv/.installed-discord.py-2.7.1
  [ ! -e "$marker" ] || return 0
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check \
    discord.py==2.7.1 zstandard pytest pytest-asyncio aiohttp
  touch "$marker"
}

# discord.js, zlib-sync by which it takes zlib-stream, and the later release of its gateway library.
install_discordjs() {
  [ ! -e "$modules/.installed" ] || return 0
  rm -rf "$modules"
  mkdir -p "$modules"
  npm install --silent --no-audit --no-fund --no-save --prefix "$modules" \
    discord.js@14.28.1 zlib-sync@0.1.10 undici@6 "@discordjs/ws-2@npm:@discordjs/ws@2.0.4"
  touch "$modules/.installed"
}
