#!/usr/bin/env python3
"""Checks that the peers compute what gptmoe computes.

    python3 check.py [--compiled] [--precision f32|autocast|bf16] [--cases topk_rmsnorm,olmoe]

Compares PyTorch's model, for each implementation of its experts, with the golden values of tests/golden: logits, loss
and gradients of the first step, and the losses of ten steps, which also cover clipping, AdamW and the moving average
behind the default vectors. Uses float64 where PyTorch supports it (torch._grouped_mm is float32). Then gives OLMoE and
PyTorch's model the same weights and compares their losses and gradients. --compiled checks the compiled modes (this
takes minutes). --precision autocast and bf16 compare PyTorch's model in pytorch_moe.py's bf16 modes, with wider
bounds. Rounding may choose another expert for a token, which changes logits and gradients much. So the first step uses
the experts that the same weights choose in f32; the ten steps choose their own. Exit status 1 if something differs.
"""
import argparse
import copy
import functools
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from pytorch_moe import EXPERTS, Gpt, GroupedExperts, RoutedExperts, Trainer
from run_config import read_config

GOLDEN = pathlib.Path(__file__).resolve().parents[3] / "tests" / "golden"
CASES = ["topk_rmsnorm", "topk_norm_topk", "topk_shared", "default_forward", "dense_gelu", "attention_bias"]
BOUND = {torch.float64: 1e-6, torch.float32: 5e-5}  # relative to the largest element
# Correct code differs by at most 0.042 (logits), 1.2e-3 (loss), 0.11 (gradients) and 1.2e-2 (ten steps) in all cases.
BOUNDS_IN_BF16 = {"logits": 0.1, "loss": 2e-3, "gradients": 0.2, "ten steps": 2e-2}
worst = 0.0


def difference(got, wanted):
    return ((got.double() - wanted.double()).abs().max() / wanted.double().abs().max().clamp(min=1e-30)).item()


def relative_l2(got, wanted, m):
    """The largest relative L2 difference of a gradient. Query, key and value count as a tensor each, so that an
    error in the smallest of them shows."""
    heads, groups, D = m["num_attention_heads"], m["num_key_value_heads"], m["head_dim"]
    pairs = []
    for name in got:
        both = got[name].double(), wanted[name].double()
        pairs += zip(*(x.split((heads * D, groups * D, groups * D)) for x in both)) if ".qkv." in name else [both]
    return torch.stack([(x - y).norm() / y.norm().clamp(min=1e-30) for x, y in pairs]).max().item()  # keeps a NaN


def report(what, differences, bounds):
    """Prints the differences, and remembers the largest one divided by its bound."""
    global worst
    shares = [differences[name] / bound for name, bound in bounds.items()]
    largest = max(shares) if all(map(math.isfinite, shares)) else math.inf
    worst = max(worst, largest)
    print(f"{'ok ' if largest <= 1 else 'OFF'} {what}: " +
          ", ".join(f"{name} {value:.1e}" for name, value in differences.items()), flush=True)


def round_up(width):
    return (width + 7) // 8 * 8


def for_gpt(tensors, m, experts):
    """The golden tensors under their names in pytorch_moe.Gpt. torch._grouped_mm needs rows of a multiple of 16 bytes (8
    values in bf16), so experts are padded with weights of 0, which change nothing."""
    out = {}
    padding = round_up(m["moe_intermediate_size"]) - m["moe_intermediate_size"] if experts == "grouped" else 0

    def mlp(name, prefix, padding=0):
        for part in ("gate", "up", "down"):
            weight = tensors.get(f"{prefix}{part}_proj.weight")
            if weight is not None:
                out[f"{name}{part}.weight"] = F.pad(weight, (0, padding) if part == "down" else (0, 0, 0, padding))

    for golden, name in {"model.embed_tokens.": "embed.", "model.norm.": "norm.", "lm_head.": "head."}.items():
        for part in ("weight", "bias"):
            if golden + part in tensors:
                out[name + part] = tensors[golden + part]
    for layer in range(m["num_hidden_layers"]):
        prefix, name = f"model.layers.{layer}.", f"blocks.{layer}."
        for golden, part in {"input_layernorm": "norm1", "post_attention_layernorm": "norm2",
                             "self_attn.o_proj": "attention.out", "self_attn.q_norm": "attention.q_norm",
                             "self_attn.k_norm": "attention.k_norm", "mlp.gate": "mlp.router"}.items():
            for kind in (".weight", ".bias"):
                if prefix + golden + kind in tensors:
                    out[name + part + kind] = tensors[prefix + golden + kind]
        for kind in ("weight", "bias") if m["attention_bias"] else ("weight",):
            out[f"{name}attention.qkv.{kind}"] = torch.cat(
                [tensors[f"{prefix}self_attn.{p}_proj.{kind}"] for p in "qkv"])
        mlp(name + "mlp.", prefix + "mlp.")
        mlp(name + "mlp.shared.", prefix + "mlp.shared_experts.", m["n_shared_experts"] * padding)
        if prefix + "mlp.gate.weight" not in tensors:
            continue
        expert = lambda e, part: tensors[f"{prefix}mlp.experts.{e}.{part}_proj.weight"]
        rows = lambda e, part: F.pad(expert(e, part), (0, 0, 0, padding))
        gate_up = [torch.cat([rows(e, "gate"), rows(e, "up")]) for e in range(m["num_experts"])]
        down = [F.pad(expert(e, "down"), (0, padding)) for e in range(m["num_experts"])]
        if experts == "each":
            for e in range(m["num_experts"]):
                out[f"{name}mlp.experts.{e}.gate_up.weight"] = gate_up[e]
                out[f"{name}mlp.experts.{e}.down.weight"] = down[e]
        else:
            out[name + "mlp.gate_up"], out[name + "mlp.down"] = torch.stack(gate_up), torch.stack(down)
    return out


def part(tensors, prefix):
    return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}


def gradients(model):
    return {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in model.named_parameters()}


def learning_rate(config, s):
    """The learning rate at step s, by the formula of docs/mathematics.md and tests/golden."""
    peak, schedule = config["optimizer"]["learning_rate"], config["schedule"]
    warmup, floor = schedule["warmup_steps"], peak * schedule["min_lr_ratio"]
    if s < warmup:
        return peak * (s + 1) / warmup
    progress = (s - warmup) / ((schedule.get("lr_decay_steps") or config["train"]["steps"]) - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2


@torch.no_grad()
def fix_routing(model, tokens):
    """Makes the MoE layers use, for these tokens, the experts that they choose now."""
    layers = [block.mlp for block in model.blocks if block.moe]
    chosen = {}

    def record(layer, probs):
        gates, chosen[layer] = RoutedExperts.choose(layer, probs)
        return gates, chosen[layer]

    for layer in layers:
        layer.choose = functools.partial(record, layer)
    model.hidden(tokens)
    for layer in layers:
        layer.choose = lambda probs, ids=chosen[layer]: (probs.gather(-1, ids), ids)


def free_routing(model):
    for block in model.blocks:
        if block.moe:
            del block.mlp.choose


def check_golden(case, experts, compiled, precision):
    config, golden = read_config(GOLDEN / f"{case}.json"), load_file(GOLDEN / f"{case}.safetensors")
    dtype = torch.float32 if experts == "grouped" or compiled or precision != "f32" else torch.float64
    m = config["model"]
    weights = for_gpt(part(golden, "param."), m, experts)
    padded = copy.deepcopy(config)
    if experts == "grouped":
        padded["model"]["moe_intermediate_size"] = round_up(m["moe_intermediate_size"])
    torch.set_default_dtype(dtype)
    model = Gpt(padded, EXPERTS[experts])
    torch.set_default_dtype(torch.float32)
    missing = model.load_state_dict(weights, strict=False)
    left = [name for name in missing.missing_keys if not name.endswith(("cos", "sin", "defaults", "head.weight"))]
    assert not left and not missing.unexpected_keys, (left, missing.unexpected_keys)
    for name, value in part(golden, "state.").items():
        model.blocks[int(name.split(".")[2])].mlp.defaults.copy_(value)
    defaults = [block.mlp.defaults.clone() if block.moe else None for block in model.blocks]

    def reset_defaults():
        for block, value in zip(model.blocks, defaults):
            if block.moe:
                block.mlp.defaults.copy_(value)

    tokens, targets = golden["tokens"].long(), golden["targets"].long()
    if precision != "f32":
        fix_routing(model, tokens[0, 0])
        reset_defaults()
    if precision == "bf16":
        model.to_bf16()
    if compiled:
        model.compile()

    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
        x, aux = model.hidden(tokens[0, 0])
        logits, loss = model.head(model.norm(x)), model.loss(x, targets[0, 0])
    (loss + aux).backward()
    wanted = for_gpt(part(golden, "grad."), m, experts)
    got = gradients(model)
    differences = {
        "logits": difference(logits.flatten(0, 1), golden["logits"]), "loss": difference(loss, golden["loss"]),
    }
    if precision == "f32":
        differences["gradients"] = max(difference(got[name], wanted[name]) for name in got)
    else:
        differences["gradients"] = relative_l2(got, wanted, m)
        free_routing(model)
    model.zero_grad()
    reset_defaults()
    trainer, losses = Trainer(config, model, precision == "autocast"), []
    for s in range(len(tokens)):
        for group in trainer.optimizer.param_groups:
            group["lr"] = learning_rate(config, s)
        losses.append(trainer.step(list(zip(tokens[s], targets[s]))))
    differences["ten steps"] = difference(torch.tensor(losses), golden["losses"])
    setting = f"PyTorch {'compiled' if compiled else 'eager'}, experts {experts}"
    if precision == "f32":
        report(f"{setting}, {case}, {str(dtype)[6:]}", differences, dict.fromkeys(differences, BOUND[dtype]))
    else:
        report(f"{setting}, {case}, {precision}", differences, BOUNDS_IN_BF16)


def olmoe_config(balanced):
    config = read_config(GOLDEN / "topk_rmsnorm.json")
    config["model"].update(qk_norm=True, hidden_size=32, head_dim=8, moe_intermediate_size=24, intermediate_size=40,
                           num_hidden_layers=3, first_k_dense_replace=1, num_experts=6)
    if balanced:  # one MoE layer and one expert per token: then its balance loss equals ours
        config["model"].update(num_hidden_layers=2, num_experts_per_tok=1)
    return config


def for_olmoe(weights, m):
    """The tensors of pytorch_moe.Gpt with stacked experts, under their names in OLMoE."""
    H, G, D = m["num_attention_heads"], m["num_key_value_heads"], m["head_dim"]
    names = {"embed": "model.embed_tokens", "norm": "model.norm", "head": "lm_head", "norm1": "input_layernorm",
             "norm2": "post_attention_layernorm", "attention.out": "self_attn.o_proj",
             "attention.q_norm": "self_attn.q_norm", "attention.k_norm": "self_attn.k_norm", "mlp.router": "mlp.gate",
             "mlp.gate": "mlp.gate_proj", "mlp.up": "mlp.up_proj", "mlp.down": "mlp.down_proj"}
    out = {}
    for name, value in weights.items():
        if name.startswith("blocks."):
            _, layer, rest = name.split(".", 2)
            prefix = f"model.layers.{layer}."
        else:
            prefix, rest = "", name
        if rest in ("cos", "sin", "mlp.defaults"):
            continue
        if rest == "mlp.gate_up" or rest == "mlp.down":
            out[f"{prefix}mlp.experts.{rest[4:]}_proj"] = value
        elif rest == "attention.qkv.weight":
            for p, rows in zip("qkv", value.split((H * D, G * D, G * D))):
                out[f"{prefix}self_attn.{p}_proj.weight"] = rows
        else:
            out[f"{prefix}{names[rest.removesuffix('.weight')]}.weight"] = value
    return out


def check_olmoe(experts, compiled, balanced):
    from huggingface_olmoe import Olmoe

    config = olmoe_config(balanced)
    torch.manual_seed(3)
    gpt, olmoe = Gpt(config, GroupedExperts), Olmoe(config, experts, balanced)
    with torch.no_grad():  # larger than at the start of a run, so that every term shows
        for p in gpt.parameters():
            p.normal_(0, 0.3) if p.dim() > 1 else p.normal_(1, 0.2)
    olmoe.model.load_state_dict(for_olmoe(gpt.state_dict(), config["model"]))
    if compiled:
        olmoe.compile()
    tokens, targets = torch.randint(config["model"]["vocab_size"], (2, 3, config["train"]["sequence_length"]))
    loss, aux = gpt(tokens, targets)
    loss = loss + aux if balanced else loss
    loss.backward()
    theirs, _ = olmoe(tokens, targets)
    theirs.backward()
    wanted, got = for_olmoe(gradients(gpt), config["model"]), gradients(olmoe.model)
    differences = {"loss": difference(theirs, loss),
                   "gradients": max(difference(got[name], wanted[name]) for name in got)}
    report(f"OLMoE {'compiled' if compiled else 'eager'}, experts {experts}, {'with' if balanced else 'without'} "
           f"balance loss, float32", differences, dict.fromkeys(differences, BOUND[torch.float32]))


def main():
    parser = argparse.ArgumentParser(description="compare the peers with tests/golden")
    parser.add_argument("--compiled", action="store_true", help="check the compiled modes")
    parser.add_argument("--precision", choices=["f32", "autocast", "bf16"], default="f32",
                        help="of PyTorch's model; autocast and bf16 leave OLMoE out")
    parser.add_argument("--cases", default=",".join([*CASES, "olmoe"]), help="some of %(default)s, separated by commas")
    options = parser.parse_args()
    compiled, cases = options.compiled, options.cases.split(",")
    if unknown := [case for case in cases if case not in [*CASES, "olmoe"]]:
        parser.error(f"no case {', '.join(unknown)}")
    for case in CASES:
        if case not in cases:
            continue
        for experts in list(EXPERTS)[: 1 if case == "dense_gelu" else None]:
            check_golden(case, experts, compiled, options.precision)
            torch.compiler.reset()
    olmoe = "olmoe" in cases and options.precision == "f32"
    for experts in (["grouped_mm", "batched_mm"] + ["eager"] * (not compiled)) * olmoe:
        for balanced in (False, True):
            check_olmoe(experts, compiled, balanced)
            torch.compiler.reset()
    sys.exit(worst > 1)


if __name__ == "__main__":
    main()
