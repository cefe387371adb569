#!/usr/bin/env bash
# The official Node client, for the tests that drive the program with it.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -d .e2e/node/node_modules/openai ] && exit 0
mkdir -p .e2e/node
cp tests/e2e/node/package.json .e2e/node/
cd .e2e/node && npm install --silent --no-fund --no-audit --no-package-lock >/dev/null
