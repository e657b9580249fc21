#!/usr/bin/env python3
"""Serves a Hugging Face causal language model as an OpenAI-compatible API, for trying `systems:`
without an account:

    python3 tests/serve_model.py experiments/backbones/world --port 8080
    runner run experiments/zero_shot.yaml --set 'systems.mine={base_url: http://127.0.0.1:8080/v1,
        model: world, protocol: completions}' --set grid.method=[like_share,mine]

Needs `torch` and `transformers`. It answers `/v1/completions` (with log-probabilities) and
`/v1/chat/completions` (the messages joined into one text, for base models have no template), one
request at a time, and prints how many it answered when it ends. `--key KEY` asks for that key,
`--delay SECONDS` makes every answer slower.
"""

import argparse
import json
import math
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("model", help="a folder, or a name of the hub")
parser.add_argument("--adapter", help="a PEFT adapter folder for it (needs `peft`)")
parser.add_argument("--port", type=int, default=8080)
parser.add_argument("--key", help="refuse requests without it")
parser.add_argument("--delay", type=float, default=0.0)
parser.add_argument("--log", help="a line for each answered request goes to this file")
arguments = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(arguments.model)
model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
if arguments.adapter:
    from peft import PeftModel

    model = PeftModel.from_pretrained(model, arguments.adapter)
model.eval()
one_at_a_time = threading.Lock()
answered = 0


@torch.no_grad()
def complete(prompt, max_tokens, top):
    """Greedy tokens after a prompt: (token texts, their log-probabilities, the likeliest ones)."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    prompt_tokens = ids.shape[1]
    texts, chosen, likeliest = [], [], []
    past = None
    for _ in range(max_tokens):
        out = model(ids if past is None else ids[:, -1:], past_key_values=past, use_cache=True)
        past = out.past_key_values
        logs = torch.log_softmax(out.logits[0, -1].double(), dim=-1)
        best = torch.topk(logs, max(top, 1))
        token = int(best.indices[0])
        if token == tokenizer.eos_token_id:
            break
        texts.append(tokenizer.decode([token]))
        chosen.append(float(logs[token]))
        likeliest.append(
            [(tokenizer.decode([int(i)]), float(v)) for v, i in zip(best.values, best.indices)]
        )
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return texts, chosen, likeliest, prompt_tokens


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        global answered
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if arguments.key and self.headers.get("Authorization") != f"Bearer {arguments.key}":
            return self.reply(401, {"error": {"message": "wrong key", "code": "invalid_api_key"}})
        chat = self.path.endswith("/chat/completions")
        prompt = (
            "\n\n".join(message["content"] for message in body["messages"])
            if chat
            else body["prompt"]
        )
        top = int((body.get("top_logprobs") if chat else body.get("logprobs")) or 0)
        with one_at_a_time:
            time.sleep(arguments.delay)
            texts, chosen, likeliest, count = complete(prompt, int(body.get("max_tokens", 16)), top)
            answered += 1
            if arguments.log:
                with open(arguments.log, "a") as log:
                    log.write(f"{hash(prompt)}\n")
        text = "".join(texts)
        choice = {"index": 0, "finish_reason": "length"}
        if chat:
            choice["message"] = {"role": "assistant", "content": text}
            if top:
                choice["logprobs"] = {
                    "content": [
                        {
                            "token": token,
                            "logprob": log,
                            "top_logprobs": [{"token": t, "logprob": v} for t, v in best],
                        }
                        for token, log, best in zip(texts, chosen, likeliest)
                    ]
                }
        else:
            choice["text"] = text
            if top:
                tops = []
                for best in likeliest:
                    # Two tokens may be the same text; their probabilities add up.
                    place = {}
                    for t, v in best:
                        place[t] = math.log(math.exp(place[t]) + math.exp(v)) if t in place else v
                    tops.append(place)
                choice["logprobs"] = {
                    "tokens": texts,
                    "token_logprobs": chosen,
                    "top_logprobs": tops,
                }
        self.reply(
            200,
            {
                "object": "chat.completion" if chat else "text_completion",
                "model": body.get("model"),
                "choices": [choice],
                "usage": {
                    "prompt_tokens": count,
                    "completion_tokens": len(texts),
                    "total_tokens": count + len(texts),
                },
            },
        )


def stop(*_):
    print(f"answered {answered} requests", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
print(f"serving {arguments.model} at http://127.0.0.1:{arguments.port}/v1", flush=True)
server.serve_forever()
