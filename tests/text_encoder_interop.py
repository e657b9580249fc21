"""What transformers makes of texts with a BERT, beside what runner made of them.

    python tests/text_encoder_interop.py check ENCODER EXPECTED.json [BIN_FOLDER]
    python tests/text_encoder_interop.py scores MODEL VECTORS EXPECTED.json
    python tests/text_encoder_interop.py make FOLDER

`check` loads the folder ENCODER with AutoModel and AutoTokenizer and compares EXPECTED.json:

    texts       a list of texts
    max_tokens  tokens of a text at most
    cls, mean   a vector for each text
    tolerance   largest absolute difference of a number; 1e-5 if not given

With BIN_FOLDER it also writes the same model there as the checkpoints of 2020 were: a
`pytorch_model.bin` with the prefix `bert.`, a head, and `position_ids` of integers.

`scores` computes with torch.nn.GRU what a model folder of gru_bert or dros_bert (MODEL) says about
the rows of EXPECTED.json, given the item vectors it was trained with:

    rows        [history keys, likes of them, target key] of each row
    scores      P(like) of each row

`make` writes the small random BERT of tests/fixtures/tiny-bert with its vectors, in the same form.

Exits with 77 and a reason where PyTorch or transformers is missing.
"""

import json
import os
import sys

try:
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file
    from transformers import (
        AutoModel,
        AutoTokenizer,
        BertConfig,
        BertForMaskedLM,
        BertModel,
        BertTokenizerFast,
    )
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TEXTS = [
    "Toy Story (1995)",
    "Misérables, Les (1995)",
    "story",
    "",
    "The Toy, the Story & the Unseen: a Tale of 12 Monkeys (1995)",
    "東京 story!",
]


def vectors(model, tokenizer, texts, max_tokens):
    cls, mean = [], []
    with torch.no_grad():
        for text in texts:
            tokens = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
            states = model(**tokens).last_hidden_state[0]
            cls.append(states[0].tolist())
            mean.append(states.mean(0).tolist())
    return {"cls": cls, "mean": mean}


def check(folder, expected_path, bin_folder=None):
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)
    model, report = AutoModel.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert isinstance(model, BertModel), type(model)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report.get(key), f"{key}: {report[key]}"
    model = model.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = vectors(model, tokenizer, expected["texts"], expected["max_tokens"])
    for pooling in ("cls", "mean"):
        ours, theirs = torch.tensor(expected[pooling]), torch.tensor(found[pooling])
        apart = (ours - theirs).abs().max().item()
        print(f"{pooling}: {len(ours)} texts, largest difference {apart:.2e}")
        assert apart <= expected.get("tolerance", 1e-5), (pooling, apart)
    if bin_folder:
        os.makedirs(bin_folder, exist_ok=True)
        whole = BertForMaskedLM(model.config)
        whole.bert.load_state_dict(model.state_dict(), strict=False)
        tensors = whole.state_dict()
        positions = torch.arange(model.config.max_position_embeddings).expand((1, -1))
        tensors["bert.embeddings.position_ids"] = positions.contiguous()
        torch.save(tensors, os.path.join(bin_folder, "pytorch_model.bin"))
        model.config.save_pretrained(bin_folder)
        tokenizer.save_pretrained(bin_folder)


def scores(folder, vectors_path, expected_path):
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        settings = json.load(file)["settings"]
    with open(os.path.join(folder, "items.json"), encoding="utf-8") as file:
        keys = json.load(file)
    with safe_open(vectors_path, "pt") as file:
        table = file.get_tensor("vectors")
        row_of = {key: row for row, key in enumerate(json.loads(file.metadata()["items"]))}
    weights = load_file(os.path.join(folder, "model.safetensors"))
    numbers = {key: number for number, key in enumerate(keys, start=1)}
    text = torch.zeros(len(keys) + 1, table.shape[1])
    for key, number in numbers.items():
        text[number] = table[row_of[key]]
    gru = torch.nn.GRU(
        weights["gru.weight_ih_l0"].shape[1],
        settings["hidden_size"],
        settings["layers"],
        batch_first=True,
    )
    gru.load_state_dict({k[len("gru.") :]: v for k, v in weights.items() if k.startswith("gru.")})
    apart = 0.0
    with torch.no_grad():
        for (history, likes, target), score in zip(
            expected["rows"], expected["scores"], strict=True
        ):
            ids = [numbers.get(key, 0) for key in history[-settings["history_length"] :]]
            liked = [int(like) for like in likes[-settings["history_length"] :]]
            state = torch.zeros(settings["hidden_size"])
            if ids:
                pad = settings["history_length"] - len(ids)
                ids, liked = ids + ids[-1:] * pad, liked + liked[-1:] * pad
                steps = torch.cat(
                    [
                        weights["item_embeddings.weight"][ids],
                        text[ids],
                        weights["feedback_embeddings.weight"][liked],
                    ],
                    1,
                )
                state = gru(steps[None])[1][-1, 0]
            row = numbers.get(target, 0)
            logit = state @ weights["s_fc.weight"][row] + weights["s_fc.bias"][row]
            apart = max(apart, abs(torch.sigmoid(logit).item() - score))
    print(f"scores: {len(expected['rows'])} rows, largest difference {apart:.2e}")
    assert apart <= 2e-6, apart


def make(folder):
    os.makedirs(folder, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789()&,:!"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += ["##" + letter for letter in letters[:36]]
    pieces += ["toy", "story", "the", "1995", "les", "##es", "##able", "tale", "monk", "of", "un"]
    path = os.path.join(folder, "vocab.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(piece + "\n" for piece in pieces)
    tokenizer = BertTokenizerFast(
        vocab={piece: number for number, piece in enumerate(pieces)}, model_max_length=24
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=24,
        initializer_range=0.4,
    )
    model = BertModel(config).eval()
    model.save_pretrained(folder)
    expected = {"texts": TEXTS, "max_tokens": 16}
    expected["ids"] = [
        tokenizer(text, truncation=True, max_length=16)["input_ids"] for text in TEXTS
    ]
    expected |= vectors(model, tokenizer, TEXTS, 16)
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as file:
        json.dump(expected, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


{"check": check, "make": make, "scores": scores}[sys.argv[1]](*sys.argv[2:])
