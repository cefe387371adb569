"""vLLM on the CPU with a tiny random Llama as the upstream, driven through the program.

The model is made on the spot: a configuration, a tokenizer trained on this
folder's own sources, and weights that vLLM draws itself (`--load-format dummy`).
"""

import json
import os
import sys
import tempfile
import urllib.request
from pathlib import Path

import run as e2e
import steps
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent

CONFIG = """\
listen: 127.0.0.1:{listen}
admin: {{listen: "127.0.0.1:{admin}", token: admin}}
upstreams:
  vllm: {{kind: vllm, base_url: "http://127.0.0.1:{model}/v1", timeouts: {{first_token: 5m, idle: 2m}}}}
routes:
  - {{name: chat, match: {{model: chat}}, targets: [{{upstream: vllm, model: tiny}}]}}
tenants:
  e2e: {{keys: [{{sha256: {digest}, name: e2e}}]}}
"""

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 512, "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "torch_dtype": "float32",
    "bos_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": False,
}  # fmt: skip
CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "


def make_model(folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([p.read_text() for p in HERE.glob("*.py")], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(LLAMA))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                    "eos_token": "</s>", "chat_template": CHAT, "model_max_length": 2048})
    )  # fmt: skip


def running(port):
    for line in steps.get(f"http://127.0.0.1:{port}/metrics").decode().splitlines():
        if line.startswith("vllm:num_requests_running"):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def structured(w):
    r = w.client.chat.completions.create(
        model=w.model, messages=steps.COUNT, max_tokens=8, extra_body={"guided_regex": "[0-9]{4}"}
    )
    assert r.choices[0].message.content.isdigit()
    return f"guided_regex became structured_outputs: {r.choices[0].message.content}"


def tokenize(w):
    body = json.dumps({"model": w.model, "prompt": "Hello"}).encode()
    asked = urllib.request.Request(
        w.url.removesuffix("/v1") + "/tokenize", body,
        {"authorization": f"Bearer {w.key}", "content-type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return f"{json.loads(answer.read())['count']} tokens"


STEPS = (
    steps.chat, steps.raw_headers, steps.chat_streamed, steps.chat_streamed_with_usage,
    steps.completions, steps.responses, steps.models, steps.wrong_key,
    steps.unknown_model, structured, tokenize, steps.abort, steps.fifty_at_once,
)  # fmt: skip


def main():
    run = e2e.Run(sys.argv[1] if len(sys.argv) > 1 else None)
    listen, admin, model = e2e.free_ports(3)
    folder = Path(tempfile.mkdtemp())
    make_model(folder)
    env = {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder),
        "--served-model-name", "tiny", "--load-format", "dummy", "--enforce-eager", "--host", "127.0.0.1",
        "--port", str(model), "--max-model-len", "2048", "--dtype", "float32",
    ]  # fmt: skip
    try:
        log = (folder / "vllm.log").open("w")
        server = run.start(command, env=env, stdout=log, stderr=log, cwd=folder)
        try:
            e2e.wait_for(f"http://127.0.0.1:{model}/health", lambda: server.poll() is None)
        except SystemExit:
            print((folder / "vllm.log").read_text()[-12000:])
            raise
        e2e.serve(run, CONFIG, listen=listen, admin=admin, model=model)
        world = steps.World(
            f"http://127.0.0.1:{listen}/v1",
            e2e.KEY,
            "chat",
            lambda: running(model),
            lambda: e2e.in_use(admin),
        )
        run.say("a tiny random Llama in vLLM 0.32 on the CPU, through Sidestream")
        for step in STEPS:
            run.step(step.__name__, lambda step=step: step(world))
        run.step("server idle at the end", lambda: steps.until_idle(world, 90))
        status = json.loads(steps.get(f"http://127.0.0.1:{admin}/status", "admin"))
        run.step("nothing in flight", lambda: e2e.check_idle(status))
    finally:
        run.close()
    run.end()


if __name__ == "__main__":
    main()
