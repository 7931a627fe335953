#!/usr/bin/env bash
# The demo shop on the servers of production, in many processes: run_production.sh VENV
# Ctrl-C ends the shop; its servers go on until `tradepost services down`.
set -euo pipefail
tradepost=$1/bin/tradepost
export TRADEPOST_PROFILE=production

# What is missing on this machine is named with the command that installs it, and nothing is started.
"$tradepost" services up
"$tradepost" migrate
exec "$tradepost" serve --demo --work "${WORK:-1}"
