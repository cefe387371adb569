#!/usr/bin/env bash
# The clients of Node, for the tests that drive the program with them.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -d .e2e/node/node_modules/ai ] && exit 0
mkdir -p .e2e/node
cp tests/e2e/node/package.json .e2e/node/
cd .e2e/node && npm install --silent --no-fund --no-audit --no-package-lock >/dev/null
