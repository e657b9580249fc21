"""A baseline of one's own: likes and dislikes of the history, summed, against the target.

    score = sigmoid(b + v[target] · Σ ±e[item] / T)

e and v are embeddings, the sign is + for a like. Reads the samples that runner made, trains on the
K drawn ones, keeps the epoch with the best validation AUC, writes predictions that runner
measures. The same arguments and files give the same bytes.
"""

import argparse
import os

import pyarrow as pa
import pyarrow.parquet as pq
import torch


def read(path):
    columns = ["row", "user", "history_ids", "history_liked", "target_id", "label"]
    return pq.read_table(path, columns=columns).to_pylist()


class Baseline(torch.nn.Module):
    def __init__(self, items, width):
        super().__init__()
        self.history = torch.nn.Embedding(items, width, padding_idx=0)
        self.target = torch.nn.Embedding(items, width, padding_idx=0)
        self.bias = torch.nn.Parameter(torch.zeros(()))
        for table in (self.history, self.target):
            torch.nn.init.normal_(table.weight, std=0.1)

    def forward(self, history, signs, target):
        weighted = self.history(history) * signs[..., None]  # [B, T, W]
        count = signs.abs().sum(1, keepdim=True).clamp(min=1)  # [B, 1]
        return self.bias + (weighted.sum(1) / count * self.target(target)).sum(1)  # [B]


def tensors(samples, numbers, length=10):
    """Items unknown to `numbers` are 0 and count as nothing."""
    history = torch.zeros(len(samples), length, dtype=torch.long)
    signs = torch.zeros(len(samples), length)
    for at, sample in enumerate(samples):
        pairs = list(zip(sample["history_ids"], sample["history_liked"]))[-length:]
        for step, (item, liked) in enumerate(pairs):
            history[at, step] = numbers.get(item, 0)
            signs[at, step] = 1.0 if liked else -1.0
    target = torch.tensor([numbers.get(sample["target_id"], 0) for sample in samples])
    labels = torch.tensor([float(sample["label"]) for sample in samples])
    return (history, signs, target), labels


def auc(scores, labels):
    likes, dislikes = scores[labels == 1], scores[labels == 0]
    above = (likes[:, None] > dislikes[None]).double().mean()
    ties = (likes[:, None] == dislikes[None]).double().mean()
    return (above + ties / 2).item()


def write(path, samples, scores):
    table = pa.table(
        {
            "row": pa.array([sample["row"] for sample in samples], pa.uint32()),
            "user": pa.array([sample["user"] for sample in samples], pa.string()),
            "label": pa.array([sample["label"] for sample in samples], pa.bool_()),
            "score": pa.array(scores, pa.float64()),
        }
    )
    pq.write_table(table, path)


def main():
    parser = argparse.ArgumentParser()
    for name in ("train", "valid", "test", "valid-out", "test-out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("RUNNER_THREADS", "1")))
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(options.seed)

    parts = {name: read(getattr(options, name)) for name in ("train", "valid", "test")}
    known = {sample["target_id"] for sample in parts["train"]}
    known |= {item for sample in parts["train"] for item in sample["history_ids"]}
    numbers = {item: number for number, item in enumerate(sorted(known), start=1)}
    (inputs, labels), (valid, valid_labels), (test, _) = (
        tensors(parts[name], numbers) for name in ("train", "valid", "test")
    )

    model = Baseline(len(numbers) + 1, options.width)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    best, kept = -1.0, None
    for _ in range(options.epochs):
        model.train()
        for rows in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            logits = model(*(one[rows] for one in inputs))
            torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[rows]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            reached = auc(model(*valid), valid_labels)
            if reached > best:
                best = reached
                kept = [torch.sigmoid(model(*part)).double().tolist() for part in (valid, test)]
    print(f"best validation AUC {best:.4f}")
    write(options.valid_out, parts["valid"], kept[0])
    write(options.test_out, parts["test"], kept[1])


main()
