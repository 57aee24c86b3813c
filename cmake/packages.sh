#!/bin/sh
# sh cmake/packages.sh PACKAGE...: installs the Debian packages that are missing, or says which.
set -eu

if ! command -v dpkg-query >/dev/null; then
  echo "not a Debian system; what is needed, by Debian's names: $*"
  exit 0
fi
missing=
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "missing packages; as root: apt-get install$missing" >&2
  exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends $missing ||
  { apt-get update -q && apt-get install -y -q --no-install-recommends $missing; }
