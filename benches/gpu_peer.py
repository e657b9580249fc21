"""One case of LoRA training or scoring with PyTorch, transformers and PEFT, of the same shape and
sizes as `benches/gpu.rs`, with weights made on the spot; prints one line of JSON.

    python benches/gpu_peer.py --case train --compute bf16 --rows 32 --length 200

`--weights q8` is the set-up of the paper's code: bitsandbytes' 8 bits (LLM.int8), activations in
f16. Gradient checkpointing: `--case train_checkpoint`.
"""

import argparse
import json
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {
    "7b": (4096, 11008, 32, 32, 32000),
    "1b": (2048, 5504, 22, 32, 32000),
    "small": (256, 688, 4, 8, 4000),
}


def model(arguments):
    hidden, inner, layers, heads, vocabulary = SHAPES[arguments.shape]
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=vocabulary,
        rms_norm_eps=1e-6,
        max_position_embeddings=2048,
    )
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[arguments.compute]
    torch.set_default_dtype(dtype)
    with torch.device(arguments.device):
        made = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    if arguments.weights == "q8":
        import bitsandbytes as bnb

        for name, module in list(made.named_modules()):
            for child, linear in list(module.named_children()):
                if isinstance(linear, torch.nn.Linear) and child != "lm_head":
                    small = bnb.nn.Linear8bitLt(
                        linear.in_features, linear.out_features, bias=False, has_fp16_weights=False
                    )
                    small.weight = bnb.nn.Int8Params(
                        linear.weight.data.cpu().half(), requires_grad=False, has_fp16_weights=False
                    )
                    setattr(module, child, small.to(arguments.device))
    return made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", default="train", choices=["train", "train_checkpoint", "score"])
    parser.add_argument("--shape", default="7b", choices=sorted(SHAPES))
    parser.add_argument("--compute", default="bf16")
    parser.add_argument("--weights", default="dense", choices=["dense", "q8"])
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    made = model(arguments)
    trains = arguments.case != "score"
    if trains:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "v_proj"])
        made = get_peft_model(made, lora)
        if arguments.case == "train_checkpoint":
            made.gradient_checkpointing_enable()
            made.enable_input_require_grads()
        trained = [one for one in made.parameters() if one.requires_grad]
        for one in trained:
            one.data = one.data.float()
        optimiser = torch.optim.AdamW(trained, lr=1e-3)
        made.train()
    else:
        made.eval()
    vocabulary = SHAPES[arguments.shape][4]
    generator = torch.Generator().manual_seed(9)
    size = (arguments.rows, arguments.length)
    tokens = torch.randint(vocabulary, size, generator=generator).to(arguments.device)
    on_card = arguments.device.startswith("cuda")
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    dtype = torch.float16 if arguments.compute == "f16" else torch.bfloat16
    seconds = []
    for _ in range(arguments.steps + 1):
        if on_card:
            torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast(arguments.device.split(":")[0], dtype, enabled=arguments.compute != "f32"):
            if trains:
                optimiser.zero_grad()
                made(input_ids=tokens, labels=tokens).loss.backward()
                optimiser.step()
            else:
                with torch.no_grad():
                    # The logits of the last position alone, as a careful person would.
                    made(input_ids=tokens, logits_to_keep=1).logits[:, -1, [10, 11]].float().cpu()
        if on_card:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    best = min(seconds[1:])
    print(
        json.dumps(
            {
                "case": arguments.case,
                "peer": "PyTorch + PEFT",
                "torch": torch.__version__,
                "shape": arguments.shape,
                "compute": arguments.compute,
                "weights": arguments.weights,
                "rows": arguments.rows,
                "length": arguments.length,
                "seconds": seconds,
                "tokens_per_s": arguments.rows * arguments.length / best,
                "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if on_card else None,
            }
        )
    )


if __name__ == "__main__":
    main()
