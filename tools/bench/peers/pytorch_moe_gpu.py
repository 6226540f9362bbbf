#!/usr/bin/env python3
"""Training speed of the same mixture-of-experts model in PyTorch on a GPU, bf16.

Reads a gptmoe run configuration and times whole training steps of the model of pytorch_moe.py with what PyTorch has for
GPUs: torch.compile (a block at a time, which compiles in seconds), one grouped matrix product for all experts
(torch._grouped_mm, or a loop over the experts where it is missing or fails), the fastest attention of those it has,
cross-entropy compiled with the head, fused AdamW. Weights, gradients and the optimizer's moments are all bf16, which
spares PyTorch memory traffic that gptmoe has (f32 gradients, moments and master weights). With torch._grouped_mm nothing
in a step waits for the GPU. Prints one JSON object.

    python3 pytorch_moe_gpu.py CONFIG.json [--micro-batches 16] [--warmup 1] [--rounds 3] [--eager]
    python3 pytorch_moe_gpu.py CONFIG.json --device cpu --tiny     # the same code on a small model: does it run?

Out of memory: the micro-batch is halved, and the row says so. Letters as in pytorch_moe.py.
"""
import argparse
import json
import math
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from pytorch_moe import Gpt, Mlp, linear, read_config

GROUP = 16  # rows: experts' groups begin on multiples, as tensor cores' loads want it


class StackedExperts(nn.Module):
    """Dropless: rows sorted by expert, each expert's padded to whole groups, so that no size depends on the data."""

    grouped = True  # torch._grouped_mm; else a product per expert, which waits for the GPU to learn their sizes

    def __init__(self, m, router):
        super().__init__()
        self.m, self.r = m, router
        self.E, self.K = m["num_experts"], m["num_experts_per_tok"]
        C, width = m["hidden_size"], m["moe_intermediate_size"]
        if m["hidden_act"] == "gelu":
            sys.exit("this benchmark has SwiGLU experts only")
        self.router = linear(C, self.E)
        self.gate_up = nn.Parameter(torch.empty(self.E, 2 * width, C))
        self.down = nn.Parameter(torch.empty(self.E, C, width))
        self.shared = Mlp(m, m["n_shared_experts"] * width) if m["n_shared_experts"] else None
        self.register_buffer("defaults", torch.zeros(self.E, C))

    def forward(self, x_BTC):
        x = x_BTC.reshape(-1, x_BTC.shape[-1])
        logits = F.linear(x.float(), self.router.weight.float())
        probs = logits.softmax(-1)
        gates, ids = probs.topk(self.K, dim=-1)
        experts_R, order = ids.view(-1).sort(stable=True)
        counts = F.one_hot(experts_R, self.E).sum(0)
        outs = self.run(x.index_select(0, order // self.K), experts_R, counts)
        y = self.combine(x, probs, gates, ids, experts_R, order, outs)
        if self.shared is not None:
            y = y + self.shared(x)
        share = counts / counts.sum()
        aux = self.m["router_aux_loss_coef"] * self.E * (share * probs.mean(0)).sum()
        if self.m["router_z_loss_coef"]:
            aux = aux + self.m["router_z_loss_coef"] * logits.logsumexp(-1).square().mean()
        return y.view_as(x_BTC), aux

    def run(self, rows, experts_R, counts):
        if not self.grouped:
            chunks = rows.split(counts.tolist())
            return torch.cat([self.swiglu(chunk @ self.gate_up[e].t()) @ self.down[e].t()
                              for e, chunk in enumerate(chunks)])
        padded = (counts + GROUP - 1) // GROUP * GROUP
        ends = padded.cumsum(0)
        shift = (ends - padded) - (counts.cumsum(0) - counts)  # of an expert's rows
        places = torch.arange(len(rows), device=rows.device) + shift[experts_R]
        spread = rows.new_zeros(len(rows) + self.E * GROUP, rows.shape[1]).index_copy(0, places, rows)
        ends = ends.to(torch.int32)
        hidden = torch._grouped_mm(spread, self.gate_up.transpose(-2, -1), offs=ends)
        outs = torch._grouped_mm(self.swiglu(hidden), self.down.transpose(-2, -1), offs=ends)
        return outs.index_select(0, places)

    @staticmethod
    def swiglu(hidden):
        gate, up = hidden.chunk(2, dim=-1)
        return F.silu(gate) * up

    def combine(self, x, probs, gates, ids, experts_R, order, outs):
        """The gated sum over the chosen experts; with the Default router also the default vectors of the others."""
        if self.m["norm_topk_prob"]:
            gates = gates / gates.sum(-1, keepdim=True)
        gates_R = gates.reshape(-1).index_select(0, order)
        weighted = outs * gates_R[:, None].to(outs.dtype)
        if self.K == 1:  # a permutation: its inverse is a gather
            slots = torch.arange(len(order), device=order.device)
            y = weighted.index_select(0, torch.empty_like(order).index_copy(0, order, slots))
        else:
            y = torch.zeros_like(x).index_add(0, order // self.K, weighted)
        if self.r["type"] == "default":
            defaults = self.updated_defaults(outs.detach(), gates_R.detach(), experts_R)
            y = y + probs.scatter(1, ids, 0.0).to(y.dtype) @ defaults.to(y.dtype)
        return y

    @torch.no_grad()
    def updated_defaults(self, outs, gates_R, experts_R):
        by_score = self.r["ema_weighting"] == "router_score"
        weights = F.one_hot(experts_R, self.E) * (gates_R[:, None] if by_score else 1.0)  # (R, E)
        mass = weights.sum(0)
        sums = (weights.to(outs.dtype).t() @ outs).float()
        keep = torch.where(mass > 0, self.r["ema_beta"], 1.0)[:, None]
        self.defaults.copy_(keep * self.defaults + (1 - keep) * sums / mass.clamp(min=1e-20)[:, None])
        return self.defaults.clone()


def flops_per_token(m, T):
    """Forward and backward, of matrix products and causal attention (its lower triangle), as gptmoe counts them."""
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


def fastest_attention(m, B, T, device):
    """Switches on the one attention kernel that takes least time forward and backward; its name."""
    shape = (B, m["num_attention_heads"], T, m["head_dim"])
    q, k, v, dy = (torch.randn(shape, device=device, dtype=torch.bfloat16, requires_grad=True) for _ in range(4))
    seconds = {}
    for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
        try:
            with sdpa_kernel(backend):
                for repeats in (3, 10):  # the first also warms up
                    torch.cuda.synchronize()
                    start = time.perf_counter()
                    for _ in range(repeats):
                        F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(dy)
                    torch.cuda.synchronize()
                    seconds[backend] = (time.perf_counter() - start) / repeats
        except RuntimeError:
            seconds.pop(backend, None)
    best = min(seconds, key=seconds.get)
    torch.backends.cuda.enable_math_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(best == SDPBackend.CUDNN_ATTENTION)
    torch.backends.cuda.enable_flash_sdp(best == SDPBackend.FLASH_ATTENTION)
    torch.backends.cuda.enable_mem_efficient_sdp(best == SDPBackend.EFFICIENT_ATTENTION)
    return best.name.lower()


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


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


class Trainer:
    def __init__(self, config, B, options):
        torch.manual_seed(config.get("seed", 1))
        o, self.device = config["optimizer"], options.device
        self.B, self.T = B, config["train"]["sequence_length"]
        self.micro_batches, self.clip = options.micro_batches, o.get("grad_clip", 1.0)
        with torch.device(self.device):
            self.model = Gpt(config, StackedExperts)
        self.model.to(torch.bfloat16)
        for block in self.model.blocks:
            if block.moe:
                block.mlp.defaults = block.mlp.defaults.float()
            if not options.eager:  # blocks of a kind share what is compiled once
                block.compile(dynamic=False)
            # Falling back to eager execution shall not pass for compiled.
            torch._dynamo.config.recompile_limit = 64
            torch._dynamo.config.fail_on_recompile_limit_hit = True
        if not options.eager:
            self.model.loss = torch.compile(self.model.loss, dynamic=False)
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        vectors = [p for p in self.model.parameters() if p.dim() == 1]
        groups = [{"params": matrices, "weight_decay": o.get("weight_decay", 0.1)},
                  {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=o["learning_rate"], eps=o.get("eps", 1e-8), fused=True,
                                           betas=(o.get("beta1", 0.9), o.get("beta2", 0.95)))
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
        """Tokens per second of each round, a step."""
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


def measure(config, options):
    B = config["train"]["micro_batch_size"]
    while True:
        try:
            return B, Trainer(config, B, options).rates(options.warmup, options.rounds)
        except torch.OutOfMemoryError:
            if B == 1:
                raise
        B //= 2
        options.micro_batches *= 2
        torch.compiler.reset()
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description="time PyTorch training on a GPU of the model a gptmoe config describes")
    parser.add_argument("config")
    parser.add_argument("--micro-batches", type=int, default=16, help="in a step")
    parser.add_argument("--warmup", type=int, default=1, help="steps before the first round")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of a step; their median is reported")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a small model instead of the config's")
    options = parser.parse_args()
    config = read_config(options.config)
    if options.tiny:
        shrink(config)
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("pytorch_moe_gpu.py: PyTorch finds no GPU")

    attention = "default"
    if options.device == "cuda":
        attention = fastest_attention(config["model"], config["train"]["micro_batch_size"],
                                      config["train"]["sequence_length"], options.device)
    StackedExperts.grouped = grouped_mm_works(options.device)
    B, rates = measure(config, options)
    rate = statistics.median(rates)
    row = {
        "peer": "pytorch", "version": torch.__version__, "config": options.config, "router": config["router"]["type"],
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "CPU",
        "mode": "eager" if options.eager else "compiled", "attention": attention,
        "experts": "_grouped_mm" if StackedExperts.grouped else "a product for each",
        "micro_batch": B, "micro_batches": options.micro_batches, "tokens_per_second": rate,
        "tokens_per_second_min": min(rates), "tokens_per_second_max": max(rates),
        "model_gflops": rate * flops_per_token(config["model"], config["train"]["sequence_length"]) * 1e-9,
    }
    if options.device == "cuda":
        row["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
