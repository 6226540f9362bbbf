#!/usr/bin/env python3
"""Training speed of the same mixture-of-experts model in PyTorch on a CPU, in f32 or bf16.

Reads a gptmoe run configuration (JSON, comments allowed), builds the model it describes and times whole training
steps: forward, cross-entropy plus load-balancing loss, backward, global-norm clip, AdamW, and for the Default router
the EMA of the experts' outputs. Prints a line with a JSON object for every (mode, experts, thread count). Tokens are
random; their values affect the amount of work only through the router's choices.

    python3 pytorch_moe.py CONFIG.json [--threads 1,2] [--modes eager,compiled] [--experts each,stacked,grouped]
                           [--precision f32|autocast|bf16] [--steps 10] [--warmup 5] [--rounds 3] [--plain]

"compiled" applies torch.compile to one block at a time (equal blocks share the compiled code); it needs a C++ compiler.
Experts: "each" runs two products per expert, the first with gate and up together, outside the compiled code; "stacked"
does the same, with the weights of all experts in one tensor; "grouped" uses torch._grouped_mm inside the compiled code.
Precision: with "autocast", products and attention run in bf16, while weights, gradients and optimizer stay f32; with
"bf16", all of these are bf16. The router computes in f32 always. Attention uses the faster of PyTorch's fused and plain
kernels, which are timed first. check.py compares all of these with tests/golden.

Letters: B sequences, T tokens each, N = B*T, C width, H query heads, G key/value heads, D head size, E experts,
K experts per token, F expert width.
"""
import argparse
import itertools
import json
import math
import statistics
import sys
import time

from environment import tune

if __name__ == "__main__":
    tune()

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from run_config import read_config


def linear(inputs, outputs, bias=False):
    return nn.Linear(inputs, outputs, bias=bias)


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
        self.qkv = linear(m["hidden_size"], (self.H + 2 * self.G) * self.D, m["attention_bias"])
        self.out = linear(self.H * self.D, m["hidden_size"], m["attention_bias"])
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
        cos, sin = cos.to(q.dtype), sin.to(q.dtype)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.G != self.H)
        return self.out(y.transpose(1, 2).reshape(B, T, -1))


def rotate(z, cos, sin):
    a, b = z.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class SortRows(torch.autograd.Function):
    """One row for every choice of an expert, sorted by expert. Its backward is a gather too; the backward of
    index_select would add row by row."""

    @staticmethod
    def forward(ctx, x, order, place, K):
        ctx.save_for_backward(place)
        ctx.K = K
        return x.index_select(0, order // K)

    @staticmethod
    def backward(ctx, grad):
        (place,) = ctx.saved_tensors
        rows = grad.index_select(0, place)
        return rows if ctx.K == 1 else rows.view(-1, ctx.K, rows.shape[1]).sum(1), None, None, None


class UnsortRows(torch.autograd.Function):
    """Puts the experts' rows back in the order of tokens, K rows per token. Forward and backward are gathers."""

    @staticmethod
    def forward(ctx, outs, order, place):
        ctx.save_for_backward(order)
        return outs.index_select(0, place)

    @staticmethod
    def backward(ctx, grad):
        return grad.index_select(0, ctx.saved_tensors[0]), None, None


class RoutedExperts(nn.Module):
    """A dropless MoE layer: rows are sorted by expert. Subclasses have the experts' weights and `products`, which applies
    the experts to the rows. No size here depends on the data."""

    def __init__(self, m, router):
        super().__init__()
        self.m, self.r = m, router
        self.E, self.K = m["num_experts"], m["num_experts_per_tok"]
        self.router = linear(m["hidden_size"], self.E)
        self.shared = None
        if m["n_shared_experts"]:
            self.shared = Mlp(m, m["n_shared_experts"] * m["moe_intermediate_size"])
        self.register_buffer("defaults", torch.zeros(self.E, m["hidden_size"]))

    def forward(self, x_BTC):
        x = x_BTC.reshape(-1, x_BTC.shape[-1])
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(at_least_f32(x), at_least_f32(self.router.weight))
        probs = logits.softmax(-1)
        gates, ids = self.choose(probs)
        experts_R, order = ids.view(-1).sort(stable=True)
        place = torch.empty_like(order).index_copy(0, order, torch.arange(len(order), device=order.device))
        counts = F.one_hot(experts_R, self.E).sum(0)
        outs = self.products(SortRows.apply(for_products(x), order, place, self.K), experts_R, counts)
        y = self.combine(probs, gates, ids, experts_R, order, place, outs)
        if self.shared is not None:
            y = y + self.shared(x)
        share = counts / counts.sum()
        aux = self.m["router_aux_loss_coef"] * self.E * (share * probs.mean(0)).sum()
        if self.m["router_z_loss_coef"]:
            aux = aux + self.m["router_z_loss_coef"] * logits.logsumexp(-1).square().mean()
        return y.view_as(x_BTC), aux

    def choose(self, probs):
        """The K largest probabilities of every token and their experts."""
        return probs.topk(self.K, dim=-1)

    def combine(self, probs, gates, ids, experts_R, order, place, outs):
        """The gated sum over the chosen experts. The Default router adds the default vectors of the others."""
        if self.m["norm_topk_prob"]:
            gates = gates / gates.sum(-1, keepdim=True)
        y = UnsortRows.apply(outs, order, place)
        if self.K == 1:
            y = y * gates.to(y.dtype)
        else:
            y = (y.view(-1, self.K, y.shape[1]) * gates.to(y.dtype)[:, :, None]).sum(1)
        if self.r["type"] == "default":
            defaults = self.updated_defaults(outs.detach(), gates.detach().view(-1).index_select(0, order), experts_R)
            y = y + probs.scatter(1, ids, 0.0).to(y.dtype) @ defaults.to(y.dtype)
        return y

    @torch.no_grad()
    def updated_defaults(self, outs, gates_R, experts_R):
        chosen = F.one_hot(experts_R, self.E)  # (R, E)
        weighting = self.r["ema_weighting"]
        weights = chosen * (1.0 if weighting == "uniform" else gates_R[:, None])
        mass = (weights if weighting == "score_normalized" else chosen).sum(0)
        sums = at_least_f32(weights.to(outs.dtype).t() @ outs)
        keep = torch.where(mass > 0, self.r["ema_beta"], 1.0)[:, None]
        self.defaults.copy_(keep * self.defaults + (1 - keep) * sums / mass.clamp(min=1e-20)[:, None])
        return self.defaults.clone()


def at_least_f32(x):
    return x.float() if x.dtype == torch.bfloat16 else x


def for_products(x):
    """The tensor, in autocast's type if autocast is on, since autocast leaves the operands of torch._grouped_mm alone."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def swiglu(hidden):
    gate, up = hidden.chunk(2, dim=-1)
    return F.silu(gate) * up


class Expert(nn.Module):
    """Computes gate and up in one product. Mlp uses two products, which are no slower when all tokens run through it."""

    def __init__(self, m, width):
        super().__init__()
        self.gelu = m["hidden_act"] == "gelu"
        self.gate_up = linear(m["hidden_size"], width if self.gelu else 2 * width)
        self.down = linear(width, m["hidden_size"])

    def forward(self, x):
        hidden = self.gate_up(x)
        return self.down(F.gelu(hidden, approximate="tanh") if self.gelu else swiglu(hidden))


class SeparateExperts(RoutedExperts):
    """Separate weights for every expert; two products per expert."""

    def __init__(self, m, router):
        super().__init__(m, router)
        self.experts = nn.ModuleList(Expert(m, m["moe_intermediate_size"]) for _ in range(self.E))

    @torch.compiler.disable  # sizes that change every step would be compiled again in every step
    def products(self, rows, experts_R, counts):
        # An expert without tokens runs too, so that it has a gradient, 0. Without one, AdamW would skip the expert.
        return torch.cat([expert(chunk) for expert, chunk in zip(self.experts, rows.split(counts.tolist()))])


class StackedExperts(RoutedExperts):
    """All experts' weights in one tensor, so optimizer and clipping handle few tensors; two products per expert."""

    def __init__(self, m, router):
        super().__init__(m, router)
        C, width = m["hidden_size"], m["moe_intermediate_size"]
        if m["hidden_act"] == "gelu":
            sys.exit("stacked and grouped experts are SwiGLU only")
        self.gate_up = nn.Parameter(torch.empty(self.E, 2 * width, C))
        self.down = nn.Parameter(torch.empty(self.E, C, width))

    @torch.compiler.disable
    def products(self, rows, experts_R, counts):
        # With indexing, the backward would make a gradient as large as all experts' weights for each expert. With
        # unbind, it stacks the experts' gradients once.
        weights = zip(rows.split(counts.tolist()), self.gate_up.unbind(), self.down.unbind())
        return torch.cat([F.linear(swiglu(F.linear(chunk, gate_up)), down) for chunk, gate_up, down in weights])


class GroupedExperts(StackedExperts):
    """One grouped product for all experts, torch._grouped_mm: the host need not wait for the experts' sizes."""

    group = 1  # each expert's group of rows begins on a multiple of this; the GPU's tensor cores need 16

    def products(self, rows, experts_R, counts):
        gate_up, down = (for_products(weight).transpose(-2, -1) for weight in (self.gate_up, self.down))
        if self.group == 1:
            ends = counts.cumsum(0).to(torch.int32)
            return torch._grouped_mm(swiglu(torch._grouped_mm(rows, gate_up, offs=ends)), down, offs=ends)
        padded = (counts + self.group - 1) // self.group * self.group
        ends = padded.cumsum(0)
        shift = (ends - padded) - (counts.cumsum(0) - counts)  # how far an expert's rows move
        places = torch.arange(len(rows), device=rows.device) + shift[experts_R]
        spread = rows.new_zeros(len(rows) + self.E * self.group, rows.shape[1]).index_copy(0, places, rows)
        ends = ends.to(torch.int32)
        outs = torch._grouped_mm(swiglu(torch._grouped_mm(spread, gate_up, offs=ends)), down, offs=ends)
        return outs.index_select(0, places)


EXPERTS = {"each": SeparateExperts, "stacked": StackedExperts, "grouped": GroupedExperts}


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
    """`experts`: the class of the MoE layers' feed-forward part."""

    def __init__(self, config, experts=SeparateExperts):
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
        x, aux = self.hidden(tokens)
        return self.loss(x, targets), aux

    def hidden(self, tokens):
        x, aux = self.embed(tokens), []
        for block in self.blocks:
            x, block_aux = block(x, self.cos, self.sin)
            if block_aux is not None:
                aux.append(block_aux)
        return x, sum(aux) if aux else 0.0

    def loss(self, x, targets):
        logits = self.head(self.norm(x)).flatten(0, 1)
        return F.cross_entropy(logits.float() if logits.dtype == torch.bfloat16 else logits, targets.flatten())

    def to_bf16(self):
        """Makes the weights bf16. The default vectors stay f32."""
        self.to(torch.bfloat16)
        for block in self.blocks:
            if block.moe:
                block.mlp.defaults = block.mlp.defaults.float()

    def compile(self):
        """Compiles one block at a time: equal blocks share the compiled code."""
        compile_strictly()
        for block in self.blocks:
            block.compile(dynamic=False)
        self.loss = torch.compile(self.loss, dynamic=False)


def compile_strictly():
    """Makes a fallback to eager execution an error."""
    torch._dynamo.config.recompile_limit = 64
    torch._dynamo.config.fail_on_recompile_limit_hit = True


def what_was_compiled(mode):
    if mode != "compiled":
        return {}
    counters = torch._dynamo.utils.counters
    if not counters["stats"]["unique_graphs"]:
        sys.exit("nothing was compiled")
    return {"graphs": counters["stats"]["unique_graphs"], "graph_breaks": sum(counters["graph_break"].values())}


def fastest_attention(m, B, T, device, dtype):
    """Switches on only the attention kernel that is fastest, forward and backward. Returns its name."""
    shape = (B, m["num_attention_heads"], T, m["head_dim"])
    q, k, v, dy = (torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(4))
    candidates = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    wait = lambda: None
    if device == "cuda":
        candidates = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
        wait = torch.cuda.synchronize
    seconds = {}
    for backend in candidates:
        try:
            with sdpa_kernel(backend):
                for repeats in (3, 10):  # the first pass warms up
                    wait()
                    start = time.perf_counter()
                    for _ in range(repeats):
                        F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(dy)
                    wait()
                    seconds[backend] = (time.perf_counter() - start) / repeats
        except RuntimeError:
            seconds.pop(backend, None)
    best = min(seconds, key=seconds.get)
    # These switches apply to the CPU too.
    torch.backends.cuda.enable_math_sdp(best == SDPBackend.MATH)
    torch.backends.cuda.enable_cudnn_sdp(best == SDPBackend.CUDNN_ATTENTION)
    torch.backends.cuda.enable_flash_sdp(best == SDPBackend.FLASH_ATTENTION)
    torch.backends.cuda.enable_mem_efficient_sdp(best == SDPBackend.EFFICIENT_ATTENTION)
    return best.name.lower()


def make_optimizer(config, model):
    o = config["optimizer"]
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": o.get("weight_decay", 0.1)},
              {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=o["learning_rate"], eps=o.get("eps", 1e-8), fused=True,
                             betas=(o.get("beta1", 0.9), o.get("beta2", 0.95)))


class Trainer:
    """`model` maps tokens and targets to the cross-entropy and the other terms of the loss. `autocast` runs its products
    and attention in bf16."""

    def __init__(self, config, model, autocast=False):
        train = config["train"]
        self.shape = (train["micro_batch_size"], train["sequence_length"])
        self.micro_batches = train.get("global_batch_size", train["micro_batch_size"]) // train["micro_batch_size"]
        self.vocab, self.clip = config["model"]["vocab_size"], config["optimizer"].get("grad_clip", 1.0)
        self.model, self.optimizer, self.autocast = model, make_optimizer(config, model), autocast

    def random_batch(self):
        tokens = torch.randint(self.vocab, (self.shape[0], self.shape[1] + 1))
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step(self, batches):
        for tokens, targets in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
                loss, aux = self.model(tokens, targets)
            ((loss + aux) / self.micro_batches).backward()
        if self.clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def measure(self, steps, warmup, rounds):
        """Tokens per second of each round of `steps` steps."""
        timed_step = lambda: self.step([self.random_batch() for _ in range(self.micro_batches)])
        for _ in range(warmup):
            timed_step()
        rates = []
        for _ in range(rounds):
            start = time.perf_counter()
            for _ in range(steps):
                loss = timed_step()
            tokens = steps * self.micro_batches * self.shape[0] * self.shape[1]
            rates.append(tokens / (time.perf_counter() - start))
        if not math.isfinite(loss):
            sys.exit("the loss is not a number")
        return rates


def arguments(description, experts, default_experts):
    """The options that CPU peers share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config")
    parser.add_argument("--threads", default="1,2", help="thread counts to time, separated by commas")
    parser.add_argument("--modes", default="eager", help="eager, compiled, or both separated by a comma")
    parser.add_argument("--experts", default=default_experts, help=f"some of {experts}, separated by commas")
    parser.add_argument("--steps", type=int, default=10, help="steps in a timed round")
    parser.add_argument("--warmup", type=int, default=5, help="steps before the first round")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds; their median is reported")
    parser.add_argument("--plain", action="store_true", help="leave the environment as it is: PyTorch out of the box")
    return parser


def time_settings(config, options, make_model, precision="f32", **about):
    """Prints a JSON line for every setting that the options ask for. The model is make_model(config, mode, experts)."""
    dtype = torch.float32 if precision == "f32" else torch.bfloat16  # of products and attention
    for mode, experts, threads in itertools.product(options.modes.split(","), options.experts.split(","),
                                                    map(int, options.threads.split(","))):
        torch._dynamo.utils.counters.clear()
        torch.set_num_threads(threads)
        torch.manual_seed(config.get("seed", 1))
        attention = fastest_attention(config["model"], config["train"]["micro_batch_size"],
                                      config["train"]["sequence_length"], "cpu", dtype)
        trainer = Trainer(config, make_model(config, mode, experts), precision == "autocast")
        rates = trainer.measure(options.steps, options.warmup, options.rounds)
        row = {
            **about, "mode": mode, "experts": experts, "precision": precision, "attention": attention, "threads": threads,
            "router": config["router"]["type"], "tokens_per_second": round(statistics.median(rates), 1),
            "tokens_per_second_min": round(min(rates), 1), "tokens_per_second_max": round(max(rates), 1),
            "steps": options.steps, "rounds": options.rounds,
            "parameters": sum(p.numel() for p in trainer.model.parameters()), "config": options.config,
            **what_was_compiled(mode),
        }
        print(json.dumps(row), flush=True)
        torch.compiler.reset()


def make_model(config, mode, experts):
    if experts not in EXPERTS:
        sys.exit(f"no experts '{experts}' here: it is one of {', '.join(EXPERTS)}")
    model = Gpt(config, EXPERTS[experts])
    if mode == "compiled":
        model.compile()
    return model


def main():
    parser = arguments("time PyTorch training of the model a gptmoe config describes", ", ".join(EXPERTS), "each")
    parser.add_argument("--precision", choices=["f32", "autocast", "bf16"], default="f32",
                        help="autocast: products in bf16, weights in f32; bf16: weights and optimizer too")
    options = parser.parse_args()

    def make(config, mode, experts):
        model = make_model(config, mode, experts)
        if options.precision == "bf16":
            model.to_bf16()
        return model

    time_settings(read_config(options.config), options, make, options.precision, peer="pytorch",
                  version=torch.__version__)


if __name__ == "__main__":
    main()
