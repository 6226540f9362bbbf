#!/usr/bin/env python3
"""Checks `gptmoe export` and `gptmoe import` against Hugging Face transformers, on a CPU, in f32.

Trains a tiny model of every kind, exports it and opens the folder with transformers. The loss over some thousand tokens
must be that of `gptmoe eval` (relative difference at most 1e-6), and greedy text that of `gptmoe generate`. It also
checks the tokenizer's ids, text from a left-padded batch, a bf16 export, a folder of several weight files, and that
transformers refuses a raw checkpoint. For imports, transformers makes a tiny random model of each class, and the loss
of `gptmoe eval` on the imported checkpoint must be that of transformers. Prints Markdown tables; the exit status is 1
if anything differs.

    python3 -m venv venv && venv/bin/pip install torch transformers numpy
    venv/bin/python tools/bench/peers/huggingface.py [--gptmoe build/gptmoe] [--only "NAME;..."] [--keep FOLDER]
"""
import argparse
import array
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, OlmoeForCausalLM

T = 64  # tokens in a sequence
WORDS = "the a little old red fox dog ran sat saw over under hill river and then it was very small".split()
PROMPTS = ["the little fox", "a dog sat under the old hill and"]

DENSE = {"num_experts": 0}
LAYERNORM = {"norm_type": "layernorm"}
BIAS = {"attention_bias": True}
QK = {"qk_norm": True}
NO_AUX = {"router_aux_loss_coef": 0}
GROUPED = {"num_key_value_heads": 2}

# name: class, keys of "model", router
CASES = {
    "olmoe": ("Olmoe", QK | GROUPED, "topk"),
    "olmoe, biases, renormalised, tied": ("Olmoe", QK | BIAS | {"norm_topk_prob": True, "tie_word_embeddings": True}, "topk"),
    "mixtral": ("Mixtral", {"norm_topk_prob": True, "num_experts_per_tok": 2} | GROUPED, "topk"),
    "mixtral, wide heads": ("Mixtral", {"norm_topk_prob": True, "head_dim": 24}, "topk"),
    "qwen2_moe, no shared expert": ("Qwen2Moe", GROUPED, "topk"),
    "qwen2_moe, shared, dense first": ("Qwen2Moe", {"n_shared_experts": 2, "first_k_dense_replace": 1}, "topk"),
    "qwen2_moe, renormalised, shared": ("Qwen2Moe", {"n_shared_experts": 1, "norm_topk_prob": True, "tie_word_embeddings": True}, "topk"),
    "phimoe": ("Phimoe", LAYERNORM | GROUPED, {"type": "sparsemixer", "jitter": 0.1}),
    "phimoe, biases": ("Phimoe", LAYERNORM | BIAS, "sparsemixer"),
    "llama": ("Llama", DENSE | GROUPED, "topk"),
    "llama, biases, wide heads, tied": ("Llama", DENSE | BIAS | {"head_dim": 24, "tie_word_embeddings": True}, "topk"),
    "stablelm": ("StableLm", DENSE | LAYERNORM | GROUPED, "topk"),
    "gpt_neox": ("GPTNeoX", DENSE | LAYERNORM | {"hidden_act": "gelu"}, "topk"),
    "gpt_neox, biases, tied": ("GPTNeoX", DENSE | LAYERNORM | BIAS | {"hidden_act": "gelu", "tie_word_embeddings": True}, "topk"),
    "default": ("Gptmoe", LAYERNORM | {"first_k_dense_replace": 1}, "default"),
    "default, rmsnorm, shared": ("Gptmoe", {"n_shared_experts": 1, "num_experts_per_tok": 1} | QK, "default"),
    "default_forward false": ("Gptmoe", {}, {"type": "default", "default_forward": False}),
    "topk, layer norm, dense first": ("Gptmoe", LAYERNORM | BIAS | {"first_k_dense_replace": 1, "norm_topk_prob": True}, "topk"),
    "topk, gelu": ("Gptmoe", {"hidden_act": "gelu", "n_shared_experts": 1, "tie_word_embeddings": True}, "topk"),
    "dense router": ("Gptmoe", {"norm_topk_prob": True}, "dense"),
    "dense_gradient": ("Gptmoe", GROUPED, "dense_gradient"),
    "loss_free, softmax": ("Gptmoe", {}, {"type": "loss_free", "bias_rate": 0.01}),
    "loss_free, sigmoid": ("Gptmoe", NO_AUX | {"norm_topk_prob": True}, {"type": "loss_free", "gate": "sigmoid", "bias_rate": 0.02}),
    "remoe": ("Gptmoe", NO_AUX, {"type": "remoe", "l1_coefficient": 1e-3}),
    "sparsemixer, K = 3": ("Gptmoe", {"num_experts_per_tok": 3}, {"type": "sparsemixer", "jitter": 0.2}),
    "gelu, rmsnorm, dense": ("Gptmoe", DENSE | QK | {"hidden_act": "gelu", "head_dim": 24}, "topk"),
}

SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 48, "max_position_embeddings": T, "initializer_range": 0.12}

# name: class, keys of its config, dtype of the weights
IMPORTS = {
    "import olmoe": ("Olmoe", {"num_experts": 8, "num_experts_per_tok": 2, "rope_theta": 500.0}, "float32"),
    "import mixtral": ("Mixtral", {"num_local_experts": 8, "head_dim": 24}, "bfloat16"),
    "import qwen2_moe": ("Qwen2Moe", {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
                                      "shared_expert_intermediate_size": 96, "mlp_only_layers": [0], "qkv_bias": False,
                                      "norm_topk_prob": True}, "float32"),
    "import phimoe": ("Phimoe", {"num_local_experts": 8, "attention_bias": True, "router_jitter_noise": 0.1}, "float32"),
    "import llama": ("Llama", {"attention_bias": True, "tie_word_embeddings": True}, "float16"),
    "import stablelm": ("StableLm", {"partial_rotary_factor": 1.0}, "float32"),
    "import gpt_neox": ("GPTNeoX", {"rotary_pct": 1.0, "use_parallel_residual": False, "hidden_act": "gelu_new",
                                    "num_key_value_heads": 4}, "float32"),
}


def write_tokenizer(path):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(alphabet)}
    merges = []
    for word in WORDS:
        token = "Ġ"
        for letter in word:
            if token + letter not in vocab:
                vocab[token + letter] = len(vocab)
                merges.append((token, letter))
            token += letter
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(path))
    return tokenizer


def random_text(rng, words):
    out, word = [], rng.choice(WORDS)
    for _ in range(words):
        out.append(word)
        word = WORDS[(WORDS.index(word) * 7 + rng.choice([1, 1, 1, 2, 5])) % len(WORDS)]
    return " ".join(out)


def write_shard(path, ids):
    header = array.array("i", [20240520, 1, len(ids)] + [0] * 253)
    path.write_bytes(header.tobytes() + array.array("H", ids).tobytes())


def read_shard(path):
    return array.array("H", path.read_bytes()[1024:]).tolist()


def run_config(folder, model, router, vocab_size):
    shape = {
        "vocab_size": vocab_size, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 96, "moe_intermediate_size": 48, "num_experts": 8, "num_experts_per_tok": 2,
        "max_position_embeddings": 2 * T, "init": "normal", "initializer_range": 0.12,
    }
    return {
        "model": shape | model,
        "router": {"type": router} if isinstance(router, str) else router,
        "data": {"train": str(folder / "train.bin"), "val": str(folder / "val.bin"),
                 "tokenizer": str(folder / "tokenizer.json")},
        "train": {"steps": 30, "sequence_length": T, "micro_batch_size": 8},
        "optimizer": {"learning_rate": 3e-3},
        "device": "cpu", "precision": "f32",
    }


class Check:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        rng = random.Random(1)
        self.tokenizer = write_tokenizer(folder / "tokenizer.json")
        for name, words in (("train", 20000), ("val", 5000)):
            ids = self.tokenizer.encode(random_text(rng, words)).ids
            ids[::500] = [self.tokenizer.token_to_id("<|endoftext|>")] * len(ids[::500])
            write_shard(folder / f"{name}.bin", ids)
        self.vocab_size = self.tokenizer.get_vocab_size() + 9  # padded: the last ids have no tokens
        self.failures = []

    def gptmoe(self, *arguments):
        result = subprocess.run([self.program, *map(str, arguments)], capture_output=True)
        # Generated text may end inside a character, and its line ends stay as they are.
        out, err = (stream.decode(errors="replace") for stream in (result.stdout, result.stderr))
        if result.returncode != 0:
            sys.exit(f"gptmoe {' '.join(map(str, arguments))}\n{out}{err}")
        return out

    def expect(self, holds, what):
        if not holds:
            self.failures.append(what)
        return "yes" if holds else "NO"

    def run_case(self, index, name):
        kind, model, router = CASES[name]
        run, out = self.folder / f"run_{index}", self.folder / f"hf_{index}"
        config = self.folder / f"config_{index}.json"
        config.write_text(json.dumps(run_config(self.folder, model, router, self.vocab_size)))
        self.gptmoe("train", config, "--out", run)
        self.gptmoe("export", run, "--out", out, *(["--shard-size", "100kB"] if index % 3 == 0 else []))
        text = self.gptmoe("eval", run)
        ours, tokens = re.search(r"loss (\S+) nats.* over (\d+) tokens", text).groups()
        loaded, loading = AutoModelForCausalLM.from_pretrained(out, trust_remote_code=True, output_loading_info=True)
        self.expect(not any(loading.values()), f"{name}: loading {loading}")
        loaded.eval()
        self.expect(type(loaded).__name__ == f"{kind}ForCausalLM", f"{name}: {type(loaded).__name__}")
        theirs = self.loss(loaded, int(tokens))
        difference = abs(theirs - float(ours)) / float(ours)
        self.expect(difference <= 1e-6, f"{name}: loss {ours} and {theirs}")
        bf16_out = self.folder / f"bf16_{index}"
        self.gptmoe("export", run, "--out", bf16_out, "--dtype", "bf16")
        narrow = AutoModelForCausalLM.from_pretrained(bf16_out, trust_remote_code=True).eval()
        self.expect(narrow.lm_head.weight.dtype == torch.bfloat16, f"{name}: dtype {narrow.lm_head.weight.dtype}")
        bf16 = self.loss(narrow, int(tokens)) / float(ours) - 1
        self.expect(abs(bf16) < 1e-2, f"{name}: bf16 loss")
        tokenizer = AutoTokenizer.from_pretrained(out, trust_remote_code=True)
        sample = random_text(random.Random(7), 300) + " Ünïcode 123\n\n  x"
        same_ids = tokenizer(sample).input_ids == self.tokenizer.encode(sample).ids
        parameters = sum(p.numel() for p in loaded.parameters())
        return [name, type(loaded).__name__, f"{parameters:,}", ours, f"{theirs:.7f}", f"{difference:.0e}",
                self.expect(self.same_text(run, loaded, tokenizer), f"{name}: greedy text"),
                self.expect(self.same_batch(loaded, tokenizer), f"{name}: padded batch"),
                self.expect(same_ids, f"{name}: tokenizer"), f"{bf16:+.1e}"]

    def run_import(self, index, name):
        kind, keys, dtype = IMPORTS[name]
        source, start = self.folder / f"theirs_{index}", self.folder / f"start_{index}"
        torch.manual_seed(index)
        config = getattr(transformers, f"{kind}Config")(
            vocab_size=self.tokenizer.get_vocab_size(), eos_token_id=self.tokenizer.token_to_id("<|endoftext|>"),
            bos_token_id=None, pad_token_id=None, **(SMALL | keys))
        model = getattr(transformers, f"{kind}ForCausalLM")(config)
        must_be_zero = ("shared_expert_gate.weight", "dense_h_to_4h.bias", "dense_4h_to_h.bias")
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if parameter_name.endswith(must_be_zero):
                    parameter.zero_()
                elif parameter.dim() == 1:  # norms and biases, which are constant at first
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        model.to(getattr(torch, dtype)).save_pretrained(source, max_shard_size="100kB" if index % 2 else "1GB")
        (source / "tokenizer.json").write_bytes((self.folder / "tokenizer.json").read_bytes())
        self.gptmoe("import", source, "--out", start)
        text = self.gptmoe("eval", start, "--data", self.folder / "val.bin")
        ours, tokens = re.search(r"loss (\S+) nats.* over (\d+) tokens", text).groups()
        loaded = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
        theirs = self.loss(loaded, int(tokens))
        difference = abs(theirs - float(ours)) / theirs
        self.expect(difference <= 1e-6, f"{name}: loss {ours} and {theirs}")
        parameters = sum(p.numel() for p in loaded.parameters())
        return [name.removeprefix("import "), type(loaded).__name__, dtype, f"{parameters:,}", f"{theirs:.7f}", ours,
                f"{difference:.0e}",
                self.expect(self.same_text(start, loaded, AutoTokenizer.from_pretrained(source)), f"{name}: greedy text")]

    def loss(self, model, tokens):
        ids = torch.tensor(read_shard(self.folder / "val.bin"))
        windows = torch.stack([ids[i * T : (i + 1) * T + 1] for i in range(tokens // T)])
        with torch.no_grad():
            losses = [model(input_ids=batch, labels=batch).loss.double() * len(batch) for batch in windows.split(16)]
        return float(sum(losses)) / len(windows)

    def same_text(self, run, model, tokenizer):
        for prompt in PROMPTS:
            ours = self.gptmoe("generate", run, "--prompt", prompt, "--tokens", 40, "--temperature", 0)
            inputs = tokenizer(prompt, return_tensors="pt")
            theirs = model.generate(**inputs, max_new_tokens=40, do_sample=False)[0]
            # Untrained models write bytes that are not UTF-8. They may become one replacement character or several.
            ours, theirs = (re.sub("\ufffd+", "\ufffd", text) for text in
                            (ours.removesuffix("\n"), tokenizer.decode(theirs, skip_special_tokens=True)))
            if ours != theirs:
                return False
        return True

    def same_batch(self, model, tokenizer):
        batch = tokenizer(PROMPTS, return_tensors="pt", padding=True)
        together = model.generate(**batch, max_new_tokens=20, do_sample=False)
        for prompt, row in zip(PROMPTS, together):
            alone = model.generate(**tokenizer(prompt, return_tensors="pt"), max_new_tokens=20, do_sample=False)[0]
            if tokenizer.decode(alone, skip_special_tokens=True) != tokenizer.decode(row, skip_special_tokens=True):
                return False
        return True

    def refuses_checkpoints(self):
        (checkpoint,) = (self.folder / "run_0/checkpoints").glob("step_*")
        for loader in (AutoModelForCausalLM, OlmoeForCausalLM):
            try:
                loader.from_pretrained(checkpoint)
                self.failures.append(f"{loader.__name__} opens a raw checkpoint")
            except Exception as error:
                print(f"{loader.__name__} on a raw checkpoint: {type(error).__name__}: {str(error).splitlines()[0][:160]}")


def print_table(head, names, run):
    if not names:
        return
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|", flush=True)
    for index, name in enumerate(names):
        print("| " + " | ".join(run(index, name)) + " |", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gptmoe", default="build/gptmoe", help="the program")
    parser.add_argument("--only", help="cases to run, separated by semicolons")
    parser.add_argument("--keep", help="a new folder for all files (default: a temporary one)")
    options = parser.parse_args()
    names = options.only.split(";") if options.only else list(CASES) + list(IMPORTS)
    exports, imports = ([name for name in names if name in cases] for cases in (CASES, IMPORTS))
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary).absolute()
        folder.mkdir(exist_ok=True)
        check = Check(Path(options.gptmoe).absolute(), folder)
        print(f"transformers {transformers.__version__}, PyTorch {torch.__version__}, "
              f"gptmoe {check.gptmoe('--version').strip()}\n")
        print_table(["model", "class", "parameters", "gptmoe eval", "transformers", "relative difference",
                     "same greedy text", "same in a padded batch", "same ids", "bf16 loss"], exports, check.run_case)
        print_table(["model", "class", "weights", "parameters", "transformers", "gptmoe eval", "relative difference",
                     "same greedy text"], imports, check.run_import)
        if exports:
            check.refuses_checkpoints()
        for failure in check.failures:
            print("DIFFERS:", failure)
        print(f"{len(names)} models, {len(check.failures)} differences")
        return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
