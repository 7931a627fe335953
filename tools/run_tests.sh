#!/usr/bin/env bash
# Every gate and every test except the long forms: run_tests.sh VENV [pytest arguments]
# With CI=true a skipped test is a failure: a gate that was not looked at is not green.
set -uo pipefail
bin=$1/bin
shift
report=$(mktemp -d)
trap 'rm -rf "$report"' EXIT
failed=()
summary=""

step() {
  local name=$1 from=$SECONDS status=ok
  shift
  echo "== $name" >&2
  "$@" || { failed+=("$name"); status=FAILED; }
  summary+=$(printf '%-14s %5ds  %s' "$name" $((SECONDS - from)) "$status")$'\n'
}

tests() {
  "$bin/pytest" -n 2 -m "not long" --junit-xml "$report/junit.xml" "$@" | tee "$report/pytest.txt"
}

no_skips() {
  [ "${CI:-}" = true ] || return 0
  "$bin/python" - "$report/junit.xml" <<'P'
import sys
from xml.etree import ElementTree

cases = list(ElementTree.parse(sys.argv[1]).iter("testcase"))
skipped = [
    (case, reason)
    for case in cases
    for reason in case.iter("skipped")
    if reason.get("type") != "pytest.xfail"  # that one ran, and did what it says
]
for case, reason in skipped:
    print(f"skipped in CI: {case.get('classname')}.{case.get('name')}: {reason.get('message')}", file=sys.stderr)
sys.exit(1 if skipped or not cases else 0)
P
}

step "ruff format" "$bin/ruff" format --check .
step "ruff check" "$bin/ruff" check .
step "mypy" "$bin/mypy"
step "import-linter" "$bin/lint-imports" --no-logo --no-cache
step "pytest" tests "$@"
step "no skips" no_skips

printf '\n%s' "$summary"
[ ${#failed[@]} = 0 ] || printf 'FAILED: %s\n' "${failed[*]}"
tail -n 1 "$report/pytest.txt"
[ ${#failed[@]} = 0 ]
