#!/usr/bin/env bash
# Lock one set of requirements with hashes and without any index address: lock.sh run|test|build
set -euo pipefail
set=$1
case $set in
  run) source=(pyproject.toml) ;;
  test) source=(--extra test pyproject.toml) ;;
  build) source=(requirements/build.in) ;;
  *) echo "run, test or build" >&2; exit 2 ;;
esac
uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 --quiet --no-header "${source[@]}" -o "requirements/$set.txt"
