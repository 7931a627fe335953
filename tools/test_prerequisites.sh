#!/usr/bin/env bash
# What the tests need beside Python: a C compiler (the fsync recorder), curl (the docs) and Chromium (the pages).
# Root on Debian: installs what is missing. Others are told what to install; with CI=true that is a failure.
set -euo pipefail
packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
[ -e /usr/include/stdio.h ] || packages+=(libc6-dev)
command -v curl >/dev/null || packages+=(curl)
command -v chromium >/dev/null || packages+=(chromium)
[ ${#packages[@]} = 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing for the tests: ${packages[*]} ..." >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >/dev/null
  apt-get install -yq --no-install-recommends "${packages[@]}" >/dev/null
  exit 0
fi
echo "The tests also need: sudo apt-get install ${packages[*]}" >&2
[ "${CI:-}" != true ] || exit 1
echo "Without them the tests that use them are skipped." >&2
