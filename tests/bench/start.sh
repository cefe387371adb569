#!/usr/bin/env bash
# Starts the program for the harness: authentication, routing, usage, metrics and the request log on.
# LIMITS=memory or LIMITS=redis://… adds every kind of limit of the contract's `standard`, or with KIND=trial the three of
# its `trial`; none of them is ever reached.
#   CACHE: memory (hits in this process), redis (hits in the store at STORE only), or nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
port=$1 up=$2
cached= cache= store=
case "${CACHE:-}" in
  memory) cache='cache: {answers: {when: {temperature: "<=2"}}}' ;;
  redis)
    # Too small for anything to stay here.
    cache="cache: {answers: {when: {temperature: \"<=2\"}, max_size: 1B, encrypt: $(printf '%032d' 7 | base64)}}"
    store="store: {url: '$STORE'}" ;;
esac
[ -n "$cache" ] && cached=", cache: answers"
config=$(mktemp --suffix=.yaml)
cat > "$config" <<YAML
version: 1
listen: 127.0.0.1:$port
admin: {listen: 127.0.0.1:$((port + 1))}
upstreams:
  mock: {kind: generic, base_url: "http://127.0.0.1:$up/v1", api_key: sk-up}
routes:
  - {name: chat, match: {model: ["chat", "m-*"]}, targets: [{upstream: mock}]$cached}
  - {name: everything-else, match: {model: "*"}, targets: [{upstream: mock}]}
tenants:
  bench: {keys: [{sha256: $(printf sk-test | sha256sum | cut -d' ' -f1), name: bench}]${LIMITS:+, limits: all}}
log: {requests: stdout}
$store
$cache
YAML
if [ -n "${LIMITS:-}" ] && [ "${KIND:-}" = trial ]; then
  cat >> "$config" <<YAML
store: {url: "${LIMITS/#memory/memory://}", timeout: 1s}
limits: {all: {requests: 100M/min, tokens: 100G/min, concurrency: 100k}}
YAML
elif [ -n "${LIMITS:-}" ]; then
  cat >> "$config" <<YAML
store: {url: "${LIMITS/#memory/memory://}", timeout: 1s}
prices: {"*": {input: 1, output: 2}}
limits:
  all:
    requests: 100M/min
    tokens: 100G/min
    output_tokens: 100G/min
    concurrency: 100k
    streams: 100k
    tokens_per_day: 1000G
    max_input_tokens: 32k
    max_output_tokens: 4096
    max_cost_per_request: 0.50
    budgets:
      - {usd: 1000000, per: day, by: user, on_exceeded: reject}
      - {usd: 1000000, per: month, soft: 80%, on_soft: alert, on_exceeded: reject}
YAML
fi
cd "$here"
exec ${SIDESTREAM:-$here/.venv/bin/sidestream} serve --config "$config"
