#!/usr/bin/env python3
"""Writes CASE.json and CASE.safetensors beside this file for every case below. See README.md."""
import json
import math
import pathlib
import sys

import torch
from safetensors.torch import save_file

from reference import Reference

HERE = pathlib.Path(__file__).resolve().parent
STEPS = 10


def base_config():
    """The base config, of which each case changes a few fields. Small, odd sizes show errors in loop bounds."""
    return {
        "model": {
            "vocab_size": 37, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 22, "moe_intermediate_size": 10,
            "num_experts": 5, "num_experts_per_tok": 2, "n_shared_experts": 0, "first_k_dense_replace": 0,
            "norm_topk_prob": False, "router_aux_loss_coef": 0.01, "balance_scope": "micro_batch",
            "router_z_loss_coef": 0.0, "hidden_act": "silu",
            "norm_type": "rmsnorm", "rms_norm_eps": 1e-5, "qk_norm": False, "rope_theta": 10000.0,
            "max_position_embeddings": 13, "tie_word_embeddings": False, "init": "normal", "initializer_range": 0.02,
        },
        "router": {"type": "topk"},
        "data": {"train": "unused.bin", "val": "", "tokenizer": ""},
        "train": {
            "steps": STEPS, "sequence_length": 13, "micro_batch_size": 3, "global_batch_size": 3, "eval_every": 0,
            "eval_tokens": 0, "recompute": "none",
        },
        "optimizer": {
            "type": "adamw", "learning_rate": 0.004, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1,
            "grad_clip": 1.0,
        },
        "schedule": {"type": "cosine", "warmup_steps": 3, "min_lr_ratio": 0.1, "decay_steps": 0},
        "checkpoint": {"every": 0, "keep": 2},
        "log": {"every": 1},
        "device": "cpu",
        "precision": "f32",
        "seed": 1,
    }


def default_router(**changes):
    block = {
        "type": "default", "ema_beta": 0.9, "ema_weighting": "score", "ema_unseen": "keep", "ema_update": "forward",
        "ema_init": "zeros", "default_forward": True, "ema_clip": 0.0,
    }
    return {**block, **changes}


LAYERNORM = {"norm_type": "layernorm"}
DENSE_FIRST = {"num_hidden_layers": 3, "first_k_dense_replace": 1}
CASES = {
    "topk_rmsnorm": {},
    "topk_norm_topk": {
        "model": {
            "norm_topk_prob": True, "num_experts_per_tok": 3, "router_z_loss_coef": 0.001, "qk_norm": True,
            "head_dim": 6, "tie_word_embeddings": True,
        },
    },
    "topk_shared": {"model": {**LAYERNORM, **DENSE_FIRST, "n_shared_experts": 2, "moe_intermediate_size": 7}},
    "default_forward": {"model": {**LAYERNORM, **DENSE_FIRST}, "router": default_router()},
    "default_step": {
        "model": LAYERNORM,
        "router": default_router(ema_update="step", ema_weighting="uniform"),
        "train": {"global_batch_size": 6},
        "optimizer": {"grad_clip": 1.9},  # clips gradients in some steps only
    },
    # Other readings of the paper: divides by the sum of the gates, and decays vectors of experts without tokens.
    "default_normalized_decay": {
        "model": {**LAYERNORM, "num_hidden_layers": 1},
        "router": default_router(ema_weighting="score_normalized", ema_unseen="decay"),
    },
    "default_backward_only": {
        "model": {"num_experts_per_tok": 1},
        "router": default_router(default_forward=False, ema_clip=2.0),
        "optimizer": {"grad_clip": 0.0},
    },
    # Ignores num_experts_per_tok and runs all experts.
    "dense_router": {"model": {"router_z_loss_coef": 0.001}, "router": {"type": "dense"}},
    "dense_gradient": {"model": {"router_z_loss_coef": 0.001}, "router": {"type": "dense_gradient"}},
    # bias_rate is 0, so the biases stay fixed.
    "loss_free_sigmoid": {
        "model": {"router_aux_loss_coef": 0.0},
        "router": {"type": "loss_free", "bias_rate": 0.0, "gate": "sigmoid"},
    },
    # DeepSeek-V3's gates: sigmoids divided by their sum over the chosen experts, times a constant.
    "loss_free_deepseek": {
        "model": {"router_aux_loss_coef": 0.0, "norm_topk_prob": True, "n_shared_experts": 1},
        "router": {"type": "loss_free", "bias_rate": 0.01, "gate": "sigmoid", "routed_scaling_factor": 2.5},
    },
    # Three steps of warm-up, then seven with thresholds. Two micro-batches a step.
    "expert_threshold": {
        "model": {"router_aux_loss_coef": 0.0},
        "router": {"type": "expert_threshold", "threshold_decay": 0.6, "warmup_steps": 3},
        "train": {"global_batch_size": 6},
    },
    # Two micro-batches a step: the number of active experts in both together decides how lambda moves.
    "remoe": {
        "model": {"router_aux_loss_coef": 0.0},
        "router": {"type": "remoe", "l1_coefficient": 0.1, "l1_factor": 1.2},
        "train": {"global_batch_size": 6},
    },
    "sparsemixer": {
        "model": {"router_z_loss_coef": 0.001},
        "router": {"type": "sparsemixer", "jitter": 0.5},
    },
    "head_norm": {"model": {"qk_norm": True, "qk_norm_scope": "head", "head_dim": 6}},
    "capped_logits": {"model": {"logit_softcap": 1.5, "output_z_loss_coef": 0.02}},
    "dense_gelu": {"model": {**LAYERNORM, "num_experts": 0, "hidden_act": "gelu"}},
    "attention_bias": {
        "model": {"attention_bias": True, "first_k_dense_replace": 1},
        "schedule": {"lr_decay_steps": 17},  # the run ends in mid-cosine
    },
    "document_mask": {"data": {"document_mask": True, "end_of_text": 3}, "train": {"global_batch_size": 6}},
    # Muon on the hidden matrices. The dense first layer is taller than it is wide; expert 3 gets no token at times.
    "muon": {
        "model": {**LAYERNORM, **DENSE_FIRST},
        "optimizer": {"type": "muon", "momentum": 0.95, "muon_scale": "match_rms_adamw", "learning_rate": 0.02},
    },
    # Groups with their own rates and decays, AdamW for one kind of hidden matrix, Muon for the router.
    "muon_groups": {
        "optimizer": {
            "type": "muon", "momentum": 0.9, "muon_scale": "original", "learning_rate": 0.01, "grad_clip": 0.0,
            "groups": [
                {"match": "model.layers.0.*.o_proj.weight", "type": "adamw", "learning_rate": 0.002},
                {"match": "*.mlp.gate.weight", "type": "muon", "learning_rate_scale": 0.5, "weight_decay": 0.3},
                {"match": "*norm.weight", "weight_decay": 0.2},
            ],
        },
    },
}
# How often a token ends a document in the cases with a document mask.
END_SHARE = 0.2
# With layer norm, the last layer's router is initialised so that this expert gets few tokens, and none in some
# micro-batches.
STARVED_EXPERT = 3


def case_config(name):
    config = base_config()
    for section, changes in CASES[name].items():
        config[section] = changes if section == "router" else {**config[section], **changes}
    if config["model"]["num_experts"] == 0:
        config["model"].update(moe_intermediate_size=0, num_experts_per_tok=1, router_aux_loss_coef=0.0)
    return config


def is_moe(m, layer):
    return m["num_experts"] > 0 and layer >= m["first_k_dense_replace"]


def starves(config):
    return config["model"]["num_experts"] > 0 and config["model"]["norm_type"] == "layernorm"


def parameter_shapes(m):
    C, V, E = m["hidden_size"], m["vocab_size"], m["num_experts"]
    H, G, D = m["num_attention_heads"], m["num_key_value_heads"], m["head_dim"]
    shapes = {"model.embed_tokens.weight": (V, C)}

    def norm(name):
        shapes[name + ".weight"] = (C,)
        if m["norm_type"] == "layernorm":
            shapes[name + ".bias"] = (C,)

    def mlp(prefix, width):
        for name in ("gate_proj", "up_proj") if m["hidden_act"] == "silu" else ("up_proj",):
            shapes[f"{prefix}{name}.weight"] = (width, C)
        shapes[prefix + "down_proj.weight"] = (C, width)

    for layer in range(m["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        norm(prefix + "input_layernorm")
        for name, shape in {"q": (H * D, C), "k": (G * D, C), "v": (G * D, C), "o": (C, H * D)}.items():
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = shape
            if m.get("attention_bias"):
                shapes[f"{prefix}self_attn.{name}_proj.bias"] = shape[:1]
        if m["qk_norm"]:
            per_head = m.get("qk_norm_scope") == "head"
            shapes[prefix + "self_attn.q_norm.weight"] = (D,) if per_head else (H * D,)
            shapes[prefix + "self_attn.k_norm.weight"] = (D,) if per_head else (G * D,)
        norm(prefix + "post_attention_layernorm")
        if not is_moe(m, layer):
            mlp(prefix + "mlp.", m["intermediate_size"])
            continue
        shapes[prefix + "mlp.gate.weight"] = (E, C)
        for e in range(E):
            mlp(f"{prefix}mlp.experts.{e}.", m["moe_intermediate_size"])
        if m["n_shared_experts"]:
            mlp(prefix + "mlp.shared_experts.", m["n_shared_experts"] * m["moe_intermediate_size"])
    norm("model.norm")
    if not m["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (V, C)
    return shapes


def initial_values(config, random):
    """Parameters and router state in f32. The values are larger than in a real run, so that every term shows."""
    m = config["model"]
    normal = lambda shape, mean, std: mean + std * torch.randn(shape, generator=random)
    params = {}
    for name, shape in parameter_shapes(m).items():
        if len(shape) == 1:
            params[name] = normal(shape, 0.0 if name.endswith("bias") else 1.0, 0.2)
        elif name == "model.embed_tokens.weight":
            params[name] = normal(shape, 0.0, 0.4)
        else:
            params[name] = normal(shape, 0.0, 1.2 / math.sqrt(shape[1]))
    if starves(config):
        last = f"model.layers.{m['num_hidden_layers'] - 1}."
        bias = params[last + "post_attention_layernorm.bias"].normal_(0.0, 0.8, generator=random)
        params[last + "mlp.gate.weight"][STARVED_EXPERT] = -0.4 * bias
    state = {}
    if config["router"]["type"] == "default":
        for layer in range(m["num_hidden_layers"]):
            if is_moe(m, layer):
                shape = (m["num_experts"], m["hidden_size"])
                state[f"model.layers.{layer}.mlp.default_vectors"] = normal(shape, 0.0, 0.3)
    if config["router"]["type"] == "loss_free":
        for layer in range(m["num_hidden_layers"]):
            state[f"model.layers.{layer}.mlp.gate.e_score_correction_bias"] = normal((m["num_experts"],), 0.0, 0.1)
    if config["router"]["type"] == "expert_threshold":
        for layer in range(m["num_hidden_layers"]):
            name = f"model.layers.{layer}.mlp.gate.thresholds"
            state |= {name: torch.zeros(m["num_experts"]), name + ".steps": torch.zeros(1)}
    if config["router"]["type"] == "sparsemixer":  # keys and positions have 64 bits
        for layer in range(m["num_hidden_layers"]):
            key = torch.randint(-(2**63), 2**63 - 1, (1,), generator=random)
            state[f"model.layers.{layer}.mlp.gate.sampler"] = torch.cat((key, torch.tensor([2**32 - 50])))
    if config["router"]["type"] == "remoe":
        state["model.l1_coefficient"] = torch.tensor([config["router"]["l1_coefficient"]])
    return params, state


def run(config, params, state, tokens, targets, dtype):
    """Runs all steps. Returns the Reference and the result of each step."""
    torch.set_default_dtype(dtype)
    convert = lambda tensors: {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
    reference = Reference(config, convert(params), convert(state))
    steps = [reference.step(tokens[s], targets[s]) for s in range(STEPS)]
    torch.set_default_dtype(torch.float32)
    return reference, steps


def golden_tensors(params, state, tokens, targets, reference, steps):
    tensors = {f"param.{name}": value for name, value in params.items()}
    tensors |= {f"state.{name}": value for name, value in state.items()}
    tensors |= {"tokens": tokens.int(), "targets": targets.int()}
    results = {"logits": steps[0]["logits"], "loss": torch.tensor([steps[0]["first_loss"]], dtype=torch.float64)}
    for name, key in {"losses": "loss", "balance_losses": "balance", "grad_norms": "grad_norm"}.items():
        results[name] = torch.tensor([step[key] for step in steps], dtype=torch.float64)
    results |= {f"grad.{name}": value for name, value in steps[0]["grads"].items()}
    results |= {f"final.{name}": value.detach() for name, value in reference.params.items()}
    results |= {f"final_state.{name}": value for name, value in reference.state.items()}
    return tensors | {
        name: (value.float() if value.is_floating_point() else value).contiguous() for name, value in results.items()}


def largest_difference(a, b, prefix):
    names = [name for name in a if name.startswith(prefix)]
    return max(((a[name] - b[name]).abs().max().item() for name in names), default=0.0)


def draw(config, seed):
    train = config["train"]
    random = torch.Generator().manual_seed(seed)
    params, state = initial_values(config, random)
    shape = (STEPS, train["global_batch_size"] // train["micro_batch_size"], train["micro_batch_size"],
             train["sequence_length"])
    tokens, targets = torch.randint(config["model"]["vocab_size"], (2, *shape), generator=random)
    if config["data"].get("document_mask"):
        tokens[torch.rand(shape, generator=random) < END_SHARE] = config["data"]["end_of_text"]
    return params, state, tokens, targets


def make(name):
    config = case_config(name)
    for seed in range(100):
        inputs = draw(config, seed)
        reference, steps = run(config, *inputs, torch.float64)
        # No choice of experts may depend on f32 rounding. If an expert is meant to starve, it must.
        if reference.closest_choice > 1e-4 and (reference.smallest_load == 0 or not starves(config)):
            break
    tensors = golden_tensors(*inputs, reference, steps)
    single = golden_tensors(*inputs, *run(config, *inputs, torch.float32))
    (HERE / f"{name}.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, HERE / f"{name}.safetensors")
    size = (HERE / f"{name}.safetensors").stat().st_size
    norms = tensors["grad_norms"]
    print(f"{name}: seed {seed}, {size} bytes, loss {tensors['losses'][0]:.3f} -> {tensors['losses'][-1]:.3f}, "
          f"gradient norm {norms.min():.2f}..{norms.max():.2f}, closest choice {reference.closest_choice:.1e}, "
          f"smallest load {reference.smallest_load}")
    print("    f32 differs by at most", ", ".join(
        f"{prefix} {largest_difference(tensors, single, prefix):.1e}"
        for prefix in ("logits", "grad.", "losses", "grad_norms", "final.", "final_state.")))


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)
