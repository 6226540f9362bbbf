#!/usr/bin/env python3
"""Training speed of the same mixture-of-experts model in PyTorch on a CPU, f32.

Reads a gptmoe run configuration (JSON, comments allowed), builds the model it describes and times whole training
steps: forward, cross-entropy plus load-balancing loss, backward, global-norm clip, AdamW, and for the Default router
the EMA of the experts' outputs. Prints one JSON object a line for every (mode, thread count). Tokens are random; their
values do not change the amount of work beyond how the router spreads them.

    python3 pytorch_moe.py CONFIG.json [--threads 1,2] [--steps 10] [--warmup 5] [--rounds 3] [--compile]

Letters: B sequences, T tokens each, N = B*T, C width, H query heads, G key/value heads, D head size, E experts,
K experts a token, F expert width.
"""
import argparse
import json
import math
import os
import re
import statistics
import sys
import time

# What one sets for PyTorch on a CPU, before the process starts (values already in the environment win): glibc otherwise
# returns every large freed block to the kernel and pages it in again on the next step, and MKL stays with AVX2 on some
# CPUs that have AVX-512.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # the largest value glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MKL_ENABLE_INSTRUCTIONS": "AVX512",
}
if __name__ == "__main__" and "--plain" not in sys.argv and any(name not in os.environ for name in ENVIRONMENT):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**ENVIRONMENT, **os.environ})

import torch
import torch.nn as nn
import torch.nn.functional as F


def read_config(path):
    """The file as a dict with the defaults that matter here filled in."""
    with open(path) as file:
        text = file.read()
    strings_or_comments = r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/'
    config = json.loads(re.sub(strings_or_comments, lambda m: m[0] if m[0][0] == '"' else " ", text, flags=re.S))
    m = config["model"]
    defaults = {
        "num_key_value_heads": m["num_attention_heads"], "head_dim": m["hidden_size"] // m["num_attention_heads"],
        "num_experts": 0, "num_experts_per_tok": 1, "n_shared_experts": 0, "first_k_dense_replace": 0,
        "norm_topk_prob": False, "router_aux_loss_coef": 0.01, "router_z_loss_coef": 0.0, "hidden_act": "silu",
        "norm_type": "rmsnorm", "rms_norm_eps": 1e-5, "qk_norm": False, "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }
    config["model"] = {**defaults, **m}
    router = {"type": "topk", "ema_beta": 0.9, "ema_weighting": "router_score", "ema_update": "forward",
              "ema_clip": 0.0, "default_forward": True}
    config["router"] = {**router, **config.get("router", {})}
    unsupported = [
        config["router"]["type"] not in ("topk", "default"),
        config["router"]["ema_update"] != "forward", config["router"]["ema_clip"] != 0,
        not config["router"]["default_forward"],
    ]
    if any(unsupported):
        sys.exit(f"{path}: this benchmark has the routers topk and default (ema_update forward, no ema_clip) only")
    return config


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


def norm(m, width):
    make = nn.LayerNorm if m["norm_type"] == "layernorm" else nn.RMSNorm
    return make(width, eps=m["rms_norm_eps"])


class Mlp(nn.Module):
    def __init__(self, m, width):
        super().__init__()
        self.gelu = m["hidden_act"] == "gelu"
        if not self.gelu:
            self.gate = linear(m["hidden_size"], width)
        self.up = linear(m["hidden_size"], width)
        self.down = linear(width, m["hidden_size"])

    def forward(self, x):
        if self.gelu:
            return self.down(F.gelu(self.up(x), approximate="tanh"))
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Attention(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.H, self.G, self.D = m["num_attention_heads"], m["num_key_value_heads"], m["head_dim"]
        self.qkv = linear(m["hidden_size"], (self.H + 2 * self.G) * self.D)
        self.out = linear(self.H * self.D, m["hidden_size"])
        self.qk_norm = m["qk_norm"]
        if self.qk_norm:
            self.q_norm = nn.RMSNorm(self.H * self.D, eps=m["rms_norm_eps"])
            self.k_norm = nn.RMSNorm(self.G * self.D, eps=m["rms_norm_eps"])

    def forward(self, x, cos, sin):
        B, T, _ = x.shape
        q, k, v = self.qkv(x).split((self.H * self.D, self.G * self.D, self.G * self.D), dim=-1)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (z.view(B, T, -1, self.D).transpose(1, 2) for z in (q, k, v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.G != self.H)
        return self.out(y.transpose(1, 2).reshape(B, T, -1))


def rotate(z, cos, sin):
    a, b = z.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Experts(nn.Module):
    """Dropless: rows sorted by expert, one matrix product per expert and projection."""

    def __init__(self, m, router):
        super().__init__()
        self.m, self.r = m, router
        self.E, self.K = m["num_experts"], m["num_experts_per_tok"]
        self.router = linear(m["hidden_size"], self.E)
        self.experts = nn.ModuleList(Mlp(m, m["moe_intermediate_size"]) for _ in range(self.E))
        self.shared = None
        if m["n_shared_experts"]:
            self.shared = Mlp(m, m["n_shared_experts"] * m["moe_intermediate_size"])
        self.register_buffer("defaults", torch.zeros(self.E, m["hidden_size"]))

    def forward(self, x_BTC):
        x = x_BTC.reshape(-1, x_BTC.shape[-1])
        logits = self.router(x)
        probs = logits.softmax(-1)
        gates, ids = probs.topk(self.K, dim=-1)
        experts_R, order = ids.view(-1).sort(stable=True)
        counts = torch.bincount(experts_R, minlength=self.E)
        outs = self.run(x.index_select(0, order // self.K), counts.tolist())
        y = self.combine(x, probs, gates, ids, order, outs, counts)
        if self.shared is not None:
            y = y + self.shared(x)
        share = counts / counts.sum()
        aux = self.m["router_aux_loss_coef"] * self.E * (share * probs.mean(0)).sum()
        if self.m["router_z_loss_coef"]:
            aux = aux + self.m["router_z_loss_coef"] * logits.logsumexp(-1).square().mean()
        return y.view_as(x_BTC), aux

    def run(self, rows, counts):
        chunks = rows.split(counts)
        return torch.cat([expert(chunk) for expert, chunk in zip(self.experts, chunks) if len(chunk)])

    def combine(self, x, probs, gates, ids, order, outs, counts):
        """The gated sum over the chosen experts; with the Default router also the default vectors of the others."""
        if self.m["norm_topk_prob"]:
            gates = gates / gates.sum(-1, keepdim=True)
        gates_R = gates.reshape(-1).index_select(0, order)
        weighted = outs * gates_R[:, None]
        y = torch.zeros_like(x).index_add(0, order // self.K, weighted)
        if self.r["type"] == "default":
            self.update_defaults(outs.detach(), weighted.detach(), gates_R.detach(), counts)
            y = y + probs.scatter(1, ids, 0.0) @ self.defaults.clone()
        return y

    @torch.no_grad()
    def update_defaults(self, outs, weighted, gates_R, counts):
        by_score = self.r["ema_weighting"] == "router_score"
        sizes = counts.tolist()
        sums = torch.stack([c.sum(0) for c in (weighted if by_score else outs).split(sizes)])
        mass = torch.stack([g.sum() for g in gates_R.split(sizes)]) if by_score else counts
        keep = torch.where(mass > 0, self.r["ema_beta"], 1.0)[:, None]
        self.defaults.mul_(keep).add_((1 - keep) * sums / mass.clamp(min=1e-20)[:, None])


class Block(nn.Module):
    def __init__(self, m, router, layer, experts):
        super().__init__()
        self.norm1, self.norm2 = norm(m, m["hidden_size"]), norm(m, m["hidden_size"])
        self.attention = Attention(m)
        self.moe = m["num_experts"] > 0 and layer >= m["first_k_dense_replace"]
        self.mlp = experts(m, router) if self.moe else Mlp(m, m["intermediate_size"])

    def forward(self, x, cos, sin):
        x = x + self.attention(self.norm1(x), cos, sin)
        y = self.mlp(self.norm2(x))
        y, aux = y if self.moe else (y, None)
        return x + y, aux


class Gpt(nn.Module):
    """`experts` makes the MoE layers' feed-forward part."""

    def __init__(self, config, experts=Experts):
        super().__init__()
        m, T = config["model"], config["train"]["sequence_length"]
        self.embed = nn.Embedding(m["vocab_size"], m["hidden_size"])
        self.blocks = nn.ModuleList(Block(m, config["router"], layer, experts)
                                    for layer in range(m["num_hidden_layers"]))
        self.norm = norm(m, m["hidden_size"])
        self.head = linear(m["hidden_size"], m["vocab_size"])
        D = m["head_dim"]
        angles = torch.outer(torch.arange(T), m["rope_theta"] ** (-torch.arange(0, D, 2) / D))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=math.sqrt(2 / (5 * m["hidden_size"])))
        if m["tie_word_embeddings"]:
            self.head.weight = self.embed.weight

    def forward(self, tokens, targets):
        x, aux = self.embed(tokens), []
        for block in self.blocks:
            x, block_aux = block(x, self.cos, self.sin)
            if block_aux is not None:
                aux.append(block_aux)
        return self.loss(x, targets), sum(aux) / len(aux) if aux else 0.0

    def loss(self, x, targets):
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1).float(), targets.flatten())


class Trainer:
    def __init__(self, config, compiled):
        torch.manual_seed(config.get("seed", 1))
        train, o = config["train"], config["optimizer"]
        self.shape = (train["micro_batch_size"], train["sequence_length"])
        self.micro_batches = train.get("global_batch_size", train["micro_batch_size"]) // train["micro_batch_size"]
        self.vocab, self.clip = config["model"]["vocab_size"], o.get("grad_clip", 1.0)
        self.model = Gpt(config)
        self.forward = torch.compile(self.model) if compiled else self.model
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        vectors = [p for p in self.model.parameters() if p.dim() == 1]
        groups = [{"params": matrices, "weight_decay": o.get("weight_decay", 0.1)},
                  {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=o["learning_rate"], eps=o.get("eps", 1e-8), fused=True,
                                           betas=(o.get("beta1", 0.9), o.get("beta2", 0.95)))

    def step(self):
        for _ in range(self.micro_batches):
            tokens = torch.randint(self.vocab, (self.shape[0], self.shape[1] + 1))
            loss, aux = self.forward(tokens[:, :-1], tokens[:, 1:])
            ((loss + aux) / self.micro_batches).backward()
        if self.clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def measure(self, steps, warmup, rounds):
        """Tokens per second of each round of `steps` steps."""
        for _ in range(warmup):
            self.step()
        rates = []
        for _ in range(rounds):
            start = time.perf_counter()
            for _ in range(steps):
                self.step()
            tokens = steps * self.micro_batches * self.shape[0] * self.shape[1]
            rates.append(tokens / (time.perf_counter() - start))
        return rates


def main():
    parser = argparse.ArgumentParser(description="time PyTorch training of the model a gptmoe config describes")
    parser.add_argument("config")
    parser.add_argument("--threads", default="1,2", help="thread counts to time, separated by commas")
    parser.add_argument("--steps", type=int, default=10, help="steps in a timed round")
    parser.add_argument("--warmup", type=int, default=5, help="steps before the first round")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds; their median is reported")
    parser.add_argument("--plain", action="store_true", help="leave the environment as it is: PyTorch out of the box")
    parser.add_argument("--compile", action="store_true", help="time torch.compile besides eager")
    options = parser.parse_args()
    config = read_config(options.config)
    for mode in ["eager"] + ["compile"] * options.compile:
        for threads in (int(n) for n in options.threads.split(",")):
            torch.set_num_threads(threads)
            trainer = Trainer(config, mode == "compile")
            rates = trainer.measure(options.steps, options.warmup, options.rounds)
            row = {
                "peer": "pytorch", "version": torch.__version__, "mode": mode, "threads": threads,
                "router": config["router"]["type"], "tokens_per_second": round(statistics.median(rates), 1),
                "tokens_per_second_min": round(min(rates), 1), "tokens_per_second_max": round(max(rates), 1),
                "steps": options.steps, "rounds": options.rounds,
                "parameters": sum(p.numel() for p in trainer.model.parameters()), "config": options.config,
            }
            print(json.dumps(row), flush=True)
            torch.compiler.reset()


if __name__ == "__main__":
    main()
