#!/usr/bin/env python3
"""Training speed of Hugging Face's OLMoE (transformers' OlmoeForCausalLM) in the shape of a gptmoe config.

Width, layers, heads, experts, experts per token, vocabulary, batch and optimizer come from the config. These stay
OLMoE's own, whatever the config says: RMSNorm, an RMSNorm over the whole query and key rows, separate projections for
query, key and value, no z-loss, and a balance loss that is pooled over layers and not divided by the experts per token.
OLMoE has no dense layers: where the config has them, transformers' OlmoeMLP of that width replaces the MoE layer. Only
TopK routing and SwiGLU are supported.

On a CPU it runs in f32 and prints JSON lines like pytorch_moe.py's. On a GPU it runs in bf16, including weights and
optimizer, like pytorch_moe_gpu.py:

    python3 huggingface_olmoe.py CONFIG.json [--threads 1,2] [--modes eager,compiled] [--experts grouped_mm,eager]
    python3 huggingface_olmoe.py CONFIG.json --device cuda [--micro-batches 16] [--eager] [--experts grouped_mm]

--experts takes transformers' implementations: "eager" (a loop), "grouped_mm", "batched_mm" (copies the weights for each
token) and any others that the installed version has. check.py compares loss and gradients with pytorch_moe.py's.
"""
import copy
import sys

from environment import tune

ON_CPU = "--device" not in sys.argv
if __name__ == "__main__" and ON_CPU:
    tune()

import argparse

import torch
import torch.nn as nn
import transformers
from transformers import OlmoeConfig, OlmoeForCausalLM
from transformers.models.olmoe.modeling_olmoe import OlmoeMLP

from pytorch_moe import arguments, compile_strictly, time_settings
from run_config import read_config


class Olmoe(nn.Module):
    """Maps tokens and targets to the loss, which includes the balance loss if `balance` is set."""

    def __init__(self, config, experts, balance=True):
        super().__init__()
        m, self.balance = config["model"], balance
        refuse(config)
        shape = OlmoeConfig(
            vocab_size=m["vocab_size"], hidden_size=m["hidden_size"], intermediate_size=m["moe_intermediate_size"],
            num_hidden_layers=m["num_hidden_layers"], num_attention_heads=m["num_attention_heads"],
            num_key_value_heads=m["num_key_value_heads"], num_experts=m["num_experts"],
            num_experts_per_tok=m["num_experts_per_tok"], norm_topk_prob=m["norm_topk_prob"],
            router_aux_loss_coef=m["router_aux_loss_coef"], rms_norm_eps=m["rms_norm_eps"],
            attention_bias=m["attention_bias"],
            max_position_embeddings=config["train"]["sequence_length"], tie_word_embeddings=m["tie_word_embeddings"],
            rope_parameters={"rope_type": "default", "rope_theta": m["rope_theta"]},
            pad_token_id=None, eos_token_id=None, use_cache=False)
        self.model = OlmoeForCausalLM._from_config(shape, attn_implementation="sdpa", experts_implementation=experts)
        dense = copy.copy(shape)
        dense.intermediate_size = m.get("intermediate_size", 0)
        for layer in self.model.model.layers[: m["first_k_dense_replace"]]:
            layer.mlp = OlmoeMLP(dense)
        self.model.train()

    def compile(self):
        compile_strictly()
        # The first call installs the hooks that record the routers' logits. Inside a compiled model it would break the
        # graph.
        tokens = torch.zeros((1, 8), dtype=torch.long, device=self.model.device)
        with torch.no_grad():
            self(tokens, tokens)
        self.model.compile(dynamic=False)

    def forward(self, tokens, targets):
        # Targets are shifted already, so the same positions count as in the other programs.
        output = self.model(input_ids=tokens, labels=targets, shift_labels=targets, output_router_logits=self.balance)
        return output.loss, 0.0


def refuse(config):
    m = config["model"]
    topk = m["num_experts"] > 0 and config["router"]["type"] == "topk"
    if not topk or m["n_shared_experts"] or m["hidden_act"] != "silu":
        sys.exit("OLMoE has SwiGLU experts with a topk router, and no shared experts")
    if m["head_dim"] * m["num_attention_heads"] != m["hidden_size"]:
        sys.exit("OLMoE's heads are hidden_size / num_attention_heads wide")


def make_model(config, mode, experts):
    model = Olmoe(config, experts)
    if mode == "compiled":
        model.compile()
    return model


def on_gpu(about):
    from pytorch_moe_gpu import add_options, require, time_on_gpu

    parser = argparse.ArgumentParser(description="time OLMoE's training on a GPU in the shape of a gptmoe config")
    add_options(parser)
    parser.add_argument("--experts", default="grouped_mm", help="transformers' implementation of the experts")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu only checks that the code runs")
    options = parser.parse_args()
    require(options.device)

    def make(config, options):
        with torch.device(options.device):
            model = Olmoe(config, options.experts)
        model.to(torch.bfloat16)
        if not options.eager:
            model.compile()
        return model

    time_on_gpu(read_config(options.config), options, make, experts=options.experts, **about)


def main():
    about = {"peer": "olmoe", "version": f"{transformers.__version__} on PyTorch {torch.__version__}"}
    if not ON_CPU:
        return on_gpu(about)
    options = arguments("time OLMoE's training in the shape of a gptmoe config", "eager, grouped_mm, batched_mm",
                        "grouped_mm").parse_args()
    time_settings(read_config(options.config), options, make_model, **about)


if __name__ == "__main__":
    main()
