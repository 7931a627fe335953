#!/usr/bin/env bash
# Every gate and every test except the long forms: run_tests.sh VENV [pytest arguments]
# With CI=true a skipped test is a failure: a gate that was not looked at is not green.
# The tests start the servers they need themselves; whatever ends this run, none of them is left.
set -uo pipefail
venv=$1 bin=$1/bin
shift
report=$(mktemp -d "${TMPDIR:-/tmp}/tradepost-tests-XXXXXX")
trap 'leave' EXIT
trap 'exit 130' INT TERM
failed=()
summary=""

leave() {
  "$bin/python" tools/end_test_servers.py "$report"
  rm -rf "$report"
}

step() {
  local name=$1 from=$SECONDS status=ok
  shift
  echo "== $name" >&2
  "$@" || { failed+=("$name"); status=FAILED; }
  summary+=$(printf '%-14s %5ds  %s' "$name" $((SECONDS - from)) "$status")$'\n'
}

tests() {
  "$bin/pytest" -n 2 -m "not long" --basetemp "$report/t" --durations 15 \
    --junit-xml "$report/junit.xml" "$@" | tee "$report/pytest.txt"
}

suites() {
  "$bin/python" - "$report/junit.xml" <<'P'
import os
import sys
from collections import Counter
from xml.etree import ElementTree

count, seconds, skipped = Counter(), Counter(), []
for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
    suite = ".".join(case.get("classname", "").split(".")[:2])
    if suite == "tests.contract":
        suite = ".".join(case.get("classname", "").split(".")[:3])
    count[suite] += 1
    seconds[suite] += float(case.get("time", 0))
    for reason in case.iter("skipped"):
        if reason.get("type") != "pytest.xfail":  # that one ran, and did what it says
            skipped.append(f"{case.get('classname')}.{case.get('name')}: {reason.get('message')}")
print("\ntests  seconds  suite")
for suite, taken in seconds.most_common():
    print(f"{count[suite]:5}  {taken:7.1f}  {suite}")
for line in skipped:
    print(f"skipped: {line}", file=sys.stderr)
sys.exit(1 if not count or skipped and os.environ.get("CI") == "true" else 0)
P
}

step "programs" bash tools/test_prerequisites.sh "$venv"
step "ruff format" "$bin/ruff" format --check .
step "ruff check" "$bin/ruff" check .
step "mypy" "$bin/mypy"
step "import-linter" "$bin/lint-imports" --no-logo --no-cache
step "pytest" tests "$@"
step "no skips" suites

printf '\n%s' "$summary"
[ ${#failed[@]} = 0 ] || printf 'FAILED: %s\n' "${failed[*]}"
tail -n 1 "$report/pytest.txt"
[ ${#failed[@]} = 0 ]
