#!/usr/bin/env bash
# Create or refresh the virtual environment from a lock file: make_venv.sh PYTHON VENV run|test
set -euo pipefail
python=$1 venv=$2 set=$3
if ! command -v "$python" >/dev/null; then
  echo "Python 3.11 or newer is needed and '$python' was not found: apt-get install python3 python3-venv" >&2; exit 1
fi
"$python" - <<'P' || exit 1
import sys
if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer is needed, this is %s: name another one with make PYTHON=python3.12" % sys.version.split()[0])
P
if [ ! -x "$venv/bin/pip" ]; then
  rm -rf "$venv"
  if ! "$python" -m venv "$venv" 2>/tmp/tradepost-venv.$$; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      (apt-get update -q && apt-get install -yq python3-venv) >/dev/null
      rm -rf "$venv"; "$python" -m venv "$venv"
    else
      cat /tmp/tradepost-venv.$$ >&2; rm -f /tmp/tradepost-venv.$$
      echo "The venv module is missing. Install it with: sudo apt-get install python3-venv" >&2; exit 1
    fi
  fi
  rm -f /tmp/tradepost-venv.$$
fi
echo "Installing locked packages ($set) into $venv ..." >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/build.txt -r "requirements/$set.txt"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
