#!/usr/bin/env bash
# Lock one set of requirements with hashes and without any index address: lock.sh run|production|test|build
set -euo pipefail
set=$1
case $set in
  run) source=(pyproject.toml) ;;
  production) source=(--extra production --extra telemetry pyproject.toml) ;;
  test) source=(--extra production --extra telemetry --extra test pyproject.toml) ;;
  build) source=(requirements/build.in) ;;
  *) echo "run, production, test or build" >&2; exit 2 ;;
esac
uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 --quiet --no-header "${source[@]}" -o "requirements/$set.txt"
