"""Reads gptmoe's run configurations, as far as peers need them."""
import json
import os
import re
import sys

NEEDED = {"model": ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"],
          "train": ["sequence_length", "micro_batch_size"], "optimizer": ["learning_rate"]}


def fail(message):
    """Prints one line on stderr and exits with status 2."""
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)
    sys.exit(2)


def read_json(path):
    """The file, which may have comments, as a dict. Ends the program if it is not a run configuration."""
    try:
        with open(path) as file:
            text = file.read()
        strings_or_comments = r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/'
        config = json.loads(re.sub(strings_or_comments, lambda m: m[0] if m[0][0] == '"' else " ", text, flags=re.S))
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except ValueError as error:
        fail(f"{path}: not JSON: {error}")
    for part, keys in NEEDED.items():
        block = config.get(part) if isinstance(config, dict) else None
        if not isinstance(block, dict):
            fail(f'{path}: not a run configuration: it has no "{part}"')
        if missing := [key for key in keys if key not in block]:
            fail(f"{path}: {part}.{missing[0]} is missing")
    if config["train"]["micro_batch_size"] == "auto":
        fail(f'{path}: train.micro_batch_size: "auto", but a benchmark needs a number; write one there')
    return config


def read_config(path):
    """The file, with the defaults that matter to a peer filled in. Ends the program if no peer has its router."""
    config = read_json(path)
    m = config["model"]
    defaults = {
        "num_key_value_heads": m["num_attention_heads"], "head_dim": m["hidden_size"] // m["num_attention_heads"],
        "num_experts": 0, "num_experts_per_tok": 1, "n_shared_experts": 0, "first_k_dense_replace": 0,
        "norm_topk_prob": False, "router_aux_loss_coef": 0.01, "router_z_loss_coef": 0.0, "hidden_act": "silu",
        "norm_type": "rmsnorm", "rms_norm_eps": 1e-5, "qk_norm": False, "attention_bias": False,
        "rope_theta": 10000.0, "tie_word_embeddings": False,
    }
    config["model"] = {**defaults, **m}
    router = {"type": "topk", "ema_beta": 0.9, "ema_weighting": "score_normalized", "ema_update": "forward",
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
