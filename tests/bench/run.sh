#!/usr/bin/env bash
# CPU per request beside bare aiohttp, and beside nginx, vllm-router, sglang-router and LiteLLM where they are installed.
# The harness stands beside the repository (BENCH, default ../shared/bench); its setup.sh installs the peers.
#   ROUNDS, SECONDS_EACH, SCENARIOS ("json sse paced"), PEERS as in the harness; CACHES ("memory redis") are the rows
#   of hits, for which a Redis or Valkey server is started on the other core.
set -euo pipefail
cd "$(dirname "$0")/../.."
BENCH=${BENCH:-../shared/bench}
[ -f "$BENCH/peers.py" ] || { echo "no bench harness at $BENCH; set BENCH" >&2; exit 1; }
PEERS=${PEERS:-${TMPDIR:-/tmp}/peers}
export PEERS
[ -x "$PEERS/base/bin/python" ] && command -v wrk >/dev/null || bash "$BENCH/setup.sh"
mkdir -p .bench
here=$PWD
export PROJECT_CMD="$here/tests/bench/start.sh {port} {up}"
contenders="project bare"
command -v nginx >/dev/null && contenders="nginx $contenders"
[ -x "$PEERS/rust/bin/vllm-router" ] && contenders="$contenders vllm-router sglang-router"
contenders=${CONTENDERS:-$contenders}
for scenario in ${SCENARIOS:-json sse paced}; do
  conns=32
  [ "$scenario" = paced ] && conns=${PACED_CONNS:-200}
  more=
  # 180 ms of CPU a paced stream: 200 at once are beyond LiteLLM, and it would only measure its time-outs.
  [ "$scenario" != paced ] && [ -z "${CONTENDERS:-}" ] && [ -x "$PEERS/litellm/bin/litellm" ] && more=litellm
  "$PEERS/base/bin/python" "$BENCH/peers.py" --scenario "$scenario" --rounds "${ROUNDS:-3}" \
    --seconds "${SECONDS_EACH:-4}" --conns "$conns" $contenders $more | tee ".bench/$scenario.txt"
done
for cache in ${CACHES:-memory redis}; do
  export CACHE=$cache STORE=
  if [ "$cache" = redis ]; then
    server=${SERVER:-$(command -v valkey-server || command -v redis-server || find .venv/lib -name valkey-server -print -quit)}
    [ -n "$server" ] || { echo "no valkey-server or redis-server: no row for hits in Redis" >&2; continue; }
    taskset -c 1 "$server" --port 9079 --save "" --appendonly no >/dev/null &
    trap "kill $!" EXIT
    export STORE=redis://127.0.0.1:9079
    sleep 1
  fi
  for scenario in json sse; do
    "$PEERS/base/bin/python" "$BENCH/peers.py" --scenario "$scenario" --rounds "${ROUNDS:-3}" \
      --seconds "${SECONDS_EACH:-4}" --conns 32 project bare | tee ".bench/$scenario-$cache-hit.txt"
  done
done
