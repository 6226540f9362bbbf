#!/usr/bin/env python3
"""Writes the inputs of llmq's trainer: a Llama config.json with the active shape of a gptmoe config, and random tokens.

    python3 llmq_inputs.py CONFIG.json OUT_DIR [--tokens 67108864]

OUT_DIR gets config.json, train.bin and eval.bin. An MoE model becomes a dense model in which every layer has the same
SwiGLU width: the mean over layers of the width that a token uses (the dense layer's, or that of the active and shared
experts), rounded to a multiple of 64. So the operations per token are equal except for the rounding and the router.
"""
import argparse
import json
import pathlib

import numpy as np

from run_config import read_config

MULTIPLE = 64  # the SwiGLU's width is a multiple of this, for the tensor cores


def active_width(m):
    layers = m["num_hidden_layers"]
    dense = min(m["first_k_dense_replace"], layers) if m["num_experts"] else layers
    width = dense * m.get("intermediate_size", 0)
    if dense < layers:
        width += (layers - dense) * (m["num_experts_per_tok"] + m["n_shared_experts"]) * m["moe_intermediate_size"]
    return max(1, round(width / layers / MULTIPLE)) * MULTIPLE


def write_tokens(path, count, vocabulary, random):
    """Writes a header of 256 integers, then a 32-bit integer for each token."""
    header = np.zeros(256, np.int32)
    header[:2] = np.frombuffer(b"BIN.TOK\n", np.int32)
    header[2:7] = 2, 4, count, vocabulary, 0  # version, bytes per token, tokens, vocabulary, no masks
    with open(path, "wb") as file:
        file.write(header.tobytes())
        for begin in range(0, count, 1 << 22):
            file.write(random.integers(0, vocabulary, min(1 << 22, count - begin), np.int32).tobytes())


def main():
    parser = argparse.ArgumentParser(description="write the inputs of llmq for the active shape of a gptmoe config")
    parser.add_argument("config")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=1 << 26, help="tokens in train.bin")
    options = parser.parse_args()
    config = read_config(options.config)
    m = config["model"]
    if m["head_dim"] * m["num_attention_heads"] != m["hidden_size"]:
        parser.error("llmq's heads are hidden_size / num_attention_heads wide")
    options.directory.mkdir(parents=True, exist_ok=True)
    llama = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "bos_token_id": 0, "eos_token_id": 0,
             "intermediate_size": active_width(m), "max_position_embeddings": config["train"]["sequence_length"],
             **{key: m[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                                        "num_key_value_heads", "rope_theta", "rms_norm_eps", "tie_word_embeddings")}}
    (options.directory / "config.json").write_text(json.dumps(llama, indent=2) + "\n")
    random = np.random.default_rng(1)
    write_tokens(options.directory / "train.bin", options.tokens, m["vocab_size"], random)
    write_tokens(options.directory / "eval.bin", 1 << 20, m["vocab_size"], random)
    print(f"a dense Llama, {m['num_hidden_layers']} layers of width {m['hidden_size']} with a SwiGLU of "
          f"{llama['intermediate_size']}; {options.tokens:,} tokens")


if __name__ == "__main__":
    main()
