#!/usr/bin/env python3
"""Training speed of the same mixture-of-experts model in PyTorch on a GPU, bf16.

Reads a gptmoe run configuration and times whole training steps of the model in pytorch_moe.py with everything that
PyTorch offers for GPUs: torch.compile (one block at a time, which compiles in seconds), one grouped matrix product for
all experts (torch._grouped_mm, or a loop over the experts if it is missing or fails), the fastest of its attention
kernels, cross-entropy compiled together with the head, fused AdamW. Weights, gradients and the optimizer's moments are
all bf16, so PyTorch avoids memory traffic that gptmoe needs for its f32 gradients, moments and master weights. With
torch._grouped_mm the host never waits for the GPU within a step. Prints one JSON object.

    python3 pytorch_moe_gpu.py CONFIG.json [--micro-batches 16] [--warmup 1] [--rounds 3] [--eager]
    python3 pytorch_moe_gpu.py CONFIG.json --device cpu --tiny     # tries the same code on a small model

If memory runs out, the micro-batch is halved; `micro_batch` in the output is the size that fitted. pytorch_moe.py
explains the letters (B, T, C, ...).
"""
import argparse
import json
import math
import statistics
import sys
import time

import torch
import torch.nn as nn

from pytorch_moe import Gpt, GroupedExperts, StackedExperts, fastest_attention, make_optimizer, what_was_compiled
from run_config import read_config

GROUP = GroupedExperts.group = 16  # rows; tensor-core loads need a multiple of this


def flops_per_token(m, T):
    """FLOPs of matrix products and causal attention (lower triangle), forward and backward, counted as in gptmoe."""
    C, H, G, D, K = (m[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
                                        "num_experts_per_tok"))
    layers, dense = m["num_hidden_layers"], min(m["first_k_dense_replace"], m["num_hidden_layers"])
    if not m["num_experts"]:
        dense = layers
    sparse = layers - dense
    weights = layers * C * (2 * H + 2 * G) * D + dense * 3 * C * m.get("intermediate_size", 0)
    if sparse:
        expert_widths = (K + m["n_shared_experts"]) * m["moe_intermediate_size"]
        weights += sparse * (3 * C * expert_widths + C * m["num_experts"])
    weights += C * m["vocab_size"]
    return 3 * (2 * weights + layers * 2 * (T + 1) * H * D)


def grouped_mm_works(device):
    if not hasattr(torch, "_grouped_mm"):
        return False
    x, w = (torch.randn(*sizes, device=device, dtype=torch.bfloat16, requires_grad=True)
            for sizes in ((4 * GROUP, 64), (2, 32, 64)))
    ends = torch.tensor([GROUP, 3 * GROUP], device=device, dtype=torch.int32)
    try:
        y = torch._grouped_mm(x, w.transpose(-2, -1), offs=ends)
        y.backward(torch.ones_like(y))
    except (RuntimeError, NotImplementedError):
        return False
    return True


def require(device):
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU")


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


class Trainer:
    """`model` maps tokens and targets to the cross-entropy and the other terms of the loss."""

    def __init__(self, config, model, B, options):
        self.model, self.optimizer, self.device = model, make_optimizer(config, model), options.device
        self.B, self.T = B, config["train"]["sequence_length"]
        self.micro_batches, self.clip = options.micro_batches, config["optimizer"].get("grad_clip", 1.0)
        self.tokens = torch.randint(config["model"]["vocab_size"], (self.micro_batches, B, self.T + 1),
                                    device=self.device)

    def step(self):
        for tokens in self.tokens:
            loss, aux = self.model(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
            ((loss + aux) / self.micro_batches).backward()
        if self.clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss

    def rates(self, warmup, rounds):
        """Tokens per second of each round; a round is one step."""
        for _ in range(warmup):
            loss = self.step()
        synchronize(self.device)
        rates = []
        for _ in range(rounds):
            start = time.perf_counter()
            loss = self.step()
            synchronize(self.device)
            rates.append(self.micro_batches * self.B * self.T / (time.perf_counter() - start))
        if not math.isfinite(loss.item()):
            sys.exit("the loss is not a number")
        return rates


def shrink(config):
    config["model"].update(vocab_size=512, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
                           num_key_value_heads=4, head_dim=16, intermediate_size=96, moe_intermediate_size=96)
    config["train"].update(sequence_length=64, micro_batch_size=2)


def make_model(config, options):
    with torch.device(options.device):
        model = Gpt(config, GroupedExperts if options.grouped else StackedExperts)
    model.to_bf16()
    if not options.eager:
        model.compile()
    return model


def measure(config, options, make_model):
    """Returns the micro-batch that fits, and the rates. The model is make_model(config, options)."""
    B = config["train"]["micro_batch_size"]
    while True:
        try:
            torch.manual_seed(config.get("seed", 1))
            return B, Trainer(config, make_model(config, options), B, options).rates(options.warmup, options.rounds)
        except torch.OutOfMemoryError:
            if B == 1:
                raise
        B //= 2
        options.micro_batches *= 2
        torch.compiler.reset()
        torch.cuda.empty_cache()


def add_options(parser):
    """Adds the options that GPU peers share."""
    parser.add_argument("config")
    parser.add_argument("--micro-batches", type=int, default=16, help="micro-batches in a step")
    parser.add_argument("--warmup", type=int, default=1, help="steps before the first round")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of a step; their median is reported")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--tiny", action="store_true", help="a small model instead of the config's")


def time_on_gpu(config, options, make_model, **about):
    """Prints the JSON line. The model is make_model(config, options)."""
    if options.tiny:
        shrink(config)
    attention = "default"
    if options.device == "cuda":
        attention = fastest_attention(config["model"], config["train"]["micro_batch_size"],
                                      config["train"]["sequence_length"], options.device, torch.bfloat16)
    B, rates = measure(config, options, make_model)
    rate = statistics.median(rates)
    row = {
        **about, "config": options.config, "router": config["router"]["type"],
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "CPU",
        "mode": "eager" if options.eager else "compiled", "attention": attention,
        "micro_batch": B, "micro_batches": options.micro_batches, "tokens_per_second": rate,
        "tokens_per_second_min": min(rates), "tokens_per_second_max": max(rates),
        "model_gflops": rate * flops_per_token(config["model"], config["train"]["sequence_length"]) * 1e-9,
    }
    if options.device == "cuda":
        row["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
    row.update(what_was_compiled(row["mode"]))
    print(json.dumps(row), flush=True)


def main():
    parser = argparse.ArgumentParser(description="time PyTorch training of a gptmoe config's model on a GPU")
    add_options(parser)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options = parser.parse_args()
    require(options.device)
    options.grouped = grouped_mm_works(options.device)
    time_on_gpu(read_config(options.config), options, make_model, peer="pytorch", version=torch.__version__,
                experts="_grouped_mm" if options.grouped else "a product for each")


if __name__ == "__main__":
    main()
