#!/bin/sh
# Installs the Debian packages given, where they are missing. Without the rights: says what to run instead, and fails.
set -eu

if ! command -v dpkg-query >/dev/null; then
    echo "Not Debian or Ubuntu: make sure that these libraries (Debian names) are installed: $*"
    exit 0
fi
missing=""
for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

install="apt-get update && apt-get install --yes --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
    run="sh -c"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    run="sudo sh -c"
else
    echo "These Debian packages are needed and this user may not install them:$missing"
    echo "Ask someone who may to run: $install"
    exit 1
fi
echo "Installing Debian packages:$missing"
$run "$install" >/dev/null
