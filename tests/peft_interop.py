"""What Python makes of folders that runner wrote.

    python tests/peft_interop.py BASE ADAPTER EXPECTED.json [BASE ADAPTER EXPECTED.json ...]

BASE is a model folder, ADAPTER an adapter folder. Loads both with transformers and PEFT, checks
that every matrix of the adapter arrived, and then what EXPECTED.json asks for, all optional:

    sequences, rows, logits   logits[k] = those of sequence rows[k][0] at position rows[k][1]
    tolerance                 largest absolute difference of a logit; 5e-5 if not given
    texts                     [[text, ids], ...]: what AutoTokenizer must make of texts
    make_bin                  a folder to write the base's tensors into as pytorch_model.bin

Exits with 77 and a reason where PyTorch, transformers or PEFT is missing.
"""

import json
import os
import sys

try:
    import torch
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def check(base_folder: str, adapter_folder: str, expected_path: str) -> None:
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)

    base, report = AutoModelForCausalLM.from_pretrained(
        base_folder, dtype=torch.float32, output_loading_info=True
    )
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report.get(key), f"{key}: {report[key]}"
    model = PeftModel.from_pretrained(base, adapter_folder).eval()
    stored = load_file(os.path.join(adapter_folder, "adapter_model.safetensors"))
    loaded = get_peft_model_state_dict(model)
    assert sorted(stored) == sorted(loaded), set(stored) ^ set(loaded)
    for name, tensor in stored.items():
        assert torch.equal(tensor, loaded[name].cpu()), name
    print(f"adapter: {len(stored)} matrices arrived")

    if "logits" in expected:
        largest = 0.0
        with torch.no_grad():
            for (sequence, position), row in zip(expected["rows"], expected["logits"], strict=True):
                tokens = torch.tensor([expected["sequences"][sequence]])
                logits = model(input_ids=tokens).logits[0, position]
                largest = max(largest, (logits - torch.tensor(row)).abs().max().item())
        print(f"logits: largest difference {largest:.2e}")
        assert largest <= expected.get("tolerance", 5e-5), largest

    if "texts" in expected:
        tokenizer = AutoTokenizer.from_pretrained(base_folder)
        for text, ids in expected["texts"]:
            assert tokenizer(text)["input_ids"] == ids, (text, tokenizer(text)["input_ids"], ids)
            assert tokenizer.decode(ids, skip_special_tokens=True) == text, text
        assert tokenizer.bos_token_id == base.config.bos_token_id
        assert tokenizer.eos_token_id == base.config.eos_token_id
        print(f"tokenizer: {len(expected['texts'])} texts agree")

    if "make_bin" in expected:
        folder = expected["make_bin"]
        tensors = {}
        for name in sorted(os.listdir(base_folder)):
            if name.endswith(".safetensors"):
                tensors |= load_file(os.path.join(base_folder, name))
        torch.save(tensors, os.path.join(folder, "pytorch_model.bin"))
        torch.save(stored, os.path.join(folder, "adapter_model.bin"))
        print(f"pickle: {len(tensors)} tensors written")


for at in range(1, len(sys.argv), 3):
    check(*sys.argv[at : at + 3])
