#!/usr/bin/env bash
# Starts the program for the harness: authentication, routing, usage, metrics and the request log on.
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
  bench: {keys: [{sha256: $(printf sk-test | sha256sum | cut -d' ' -f1), name: bench}]}
log: {requests: stdout}
$store
$cache
YAML
cd "$here"
exec ${SIDESTREAM:-$here/.venv/bin/sidestream} serve --config "$config"
