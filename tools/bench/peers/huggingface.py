#!/usr/bin/env python3
"""Checks `gptmoe export` and `gptmoe import` against Hugging Face transformers, on a CPU, in f32.

Trains a tiny model of every kind, exports it and opens the folder with transformers. The loss over 65,536 tokens must
be that of `gptmoe eval` (relative difference at most 1e-6), and greedy text that of `gptmoe generate`. It also checks
the tokenizer's ids, text from a left-padded batch, a bf16 export, a folder of several weight files, and that
transformers refuses a raw checkpoint. An import of each export must have exactly the loss of the run. For imports,
transformers makes a tiny random model of each class. The loss of `gptmoe eval` on the imported checkpoint must be that
of transformers. An export of what was imported must give the same tensors, bit for bit. Prints Markdown tables; the
exit status is 1 if anything differs.

    python3 -m venv venv && venv/bin/pip install torch transformers numpy
    venv/bin/python tools/bench/peers/huggingface.py [--gptmoe build/gptmoe] [--tokens 65536] [--only "NAME;..."]
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
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, OlmoeForCausalLM

T = 64  # tokens in a sequence
WORDS = "the a little old red fox dog ran sat saw over under hill river and then it was very small".split()
PROMPTS = ["the little fox", "a dog sat under the old hill and"]

DENSE = {"num_experts": 0}
LAYERNORM = {"norm_type": "layernorm"}
BIAS = {"attention_bias": True}
QK = {"qk_norm": True}
HEAD_NORM = QK | {"qk_norm_scope": "head"}
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
    "qwen3_moe": ("Qwen3Moe", HEAD_NORM | GROUPED | {"norm_topk_prob": True}, "topk"),
    "qwen3_moe, biases, wide heads, dense first": ("Qwen3Moe", HEAD_NORM | BIAS | {"head_dim": 24, "first_k_dense_replace": 1}, "topk"),
    "qwen3": ("Qwen3", DENSE | HEAD_NORM | GROUPED | {"head_dim": 24}, "topk"),
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
    "loss_free, DeepSeek-V3's gates": ("Gptmoe", NO_AUX | {"norm_topk_prob": True, "n_shared_experts": 1}, {"type": "loss_free", "gate": "sigmoid", "bias_rate": 0.02, "routed_scaling_factor": 2.5}),
    "expert_threshold": ("Gptmoe", NO_AUX, {"type": "expert_threshold", "threshold_decay": 0.9, "warmup_steps": 20}),
    "capped logits, norm per head": ("Gptmoe", HEAD_NORM | {"logit_softcap": 5.0, "output_z_loss_coef": 1e-3, "n_shared_experts": 1}, "topk"),
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
    "import qwen3_moe": ("Qwen3Moe", {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
                                      "mlp_only_layers": [0], "head_dim": 24, "norm_topk_prob": True}, "float32"),
    "import qwen3": ("Qwen3", {"head_dim": 24, "tie_word_embeddings": True}, "bfloat16"),
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


def random_ids(tokenizer, seed, count):
    """Tokens of random text, with an end-of-text token at every 500th position."""
    ids = tokenizer.encode(random_text(random.Random(seed), count)).ids[:count]
    assert len(ids) == count  # no word has less than one token
    ids[::500] = [tokenizer.token_to_id("<|endoftext|>")] * len(ids[::500])
    return ids


def write_shard(path, ids):
    header = array.array("i", [20240520, 1, len(ids)] + [0] * 253)
    path.write_bytes(header.tobytes() + array.array("H", ids).tobytes())


def read_shard(path):
    return array.array("H", path.read_bytes()[1024:]).tolist()


def run_config(folder, model, router, vocab_size):
    shape = {
        "vocab_size": vocab_size, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 96, "moe_intermediate_size": 48, "num_experts": 8, "num_experts_per_tok": 2,
        "max_position_embeddings": T, "init": "normal", "initializer_range": 0.12,
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


def run_program(program, *arguments):
    """Returns what the program prints. Ends the script if it fails."""
    result = subprocess.run([program, *map(str, arguments)], capture_output=True)
    # Generated text may end inside a character, and its line ends stay as they are.
    out, err = (stream.decode(errors="replace") for stream in (result.stdout, result.stderr))
    if result.returncode != 0:
        sys.exit(f"{program} {' '.join(map(str, arguments))}\n{out}{err}")
    return out


class Check:
    def __init__(self, program, folder, tokens):
        self.program, self.folder, self.tokens = program, folder, tokens
        self.tokenizer = write_tokenizer(folder / "tokenizer.json")
        write_shard(folder / "train.bin", random_ids(self.tokenizer, 1, 20000))
        write_shard(folder / "val.bin", random_ids(self.tokenizer, 2, tokens + 1))
        self.vocab_size = self.tokenizer.get_vocab_size() + 9  # padded: the last ids have no tokens
        self.failures = []

    def gptmoe(self, *arguments):
        return run_program(self.program, *arguments)

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
        ours = self.our_loss(run)
        loaded, loading = AutoModelForCausalLM.from_pretrained(out, trust_remote_code=True, output_loading_info=True)
        self.expect(not any(loading.values()), f"{name}: loading {loading}")
        loaded.eval()
        self.expect(type(loaded).__name__ == f"{kind}ForCausalLM", f"{name}: {type(loaded).__name__}")
        theirs = self.their_losses(loaded)
        difference = self.difference(name, run, loaded, theirs)
        few = self.windows()[:8]
        with torch.no_grad():
            labelled = float(loaded(input_ids=few, labels=few).loss)
        self.expect(abs(labelled / float(theirs[:8].mean()) - 1) <= 1e-6, f"{name}: loss from labels")
        start, same_tensors = self.round_trip(index, out)
        imported = self.our_loss(start)
        bf16_out = self.folder / f"bf16_{index}"
        self.gptmoe("export", run, "--out", bf16_out, "--dtype", "bf16")
        narrow = AutoModelForCausalLM.from_pretrained(bf16_out, trust_remote_code=True).eval()
        self.expect(narrow.lm_head.weight.dtype == torch.bfloat16, f"{name}: dtype {narrow.lm_head.weight.dtype}")
        bf16 = float(self.their_losses(narrow).mean()) / ours - 1
        self.expect(abs(bf16) < 1e-2, f"{name}: bf16 loss")
        tokenizer = AutoTokenizer.from_pretrained(out, trust_remote_code=True)
        sample = random_text(random.Random(7), 300) + " Ünïcode 123\n\n  x"
        same_ids = tokenizer(sample).input_ids == self.tokenizer.encode(sample).ids
        parameters = sum(p.numel() for p in loaded.parameters())
        return [name, type(loaded).__name__, f"{parameters:,}", f"{ours:.7f}", f"{theirs.mean():.7f}", difference,
                self.expect(self.same_text(run, loaded, tokenizer), f"{name}: greedy text"),
                self.expect(self.same_batch(loaded, tokenizer), f"{name}: padded batch"),
                self.expect(same_ids, f"{name}: tokenizer"),
                self.expect(same_tensors and imported == ours, f"{name}: its import"), f"{bf16:+.1e}"]

    def run_import(self, index, name):
        kind, keys, dtype = IMPORTS[name]
        source = self.folder / f"theirs_{index}"
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
        start, same_tensors = self.round_trip(f"of_theirs_{index}", source)
        ours = self.our_loss(start)
        loaded = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
        theirs = self.their_losses(loaded)
        difference = self.difference(name, start, loaded, theirs)
        parameters = sum(p.numel() for p in loaded.parameters())
        return [name.removeprefix("import "), type(loaded).__name__, dtype, f"{parameters:,}", f"{theirs.mean():.7f}", f"{ours:.7f}",
                difference,
                self.expect(self.same_text(start, loaded, AutoTokenizer.from_pretrained(source)), f"{name}: greedy text"),
                self.expect(same_tensors, f"{name}: tensors of an export of the import")]

    def round_trip(self, index, source):
        """Imports a folder and exports it again. Returns the checkpoint and whether the tensors are the same."""
        start, again = self.folder / f"start_{index}", self.folder / f"again_{index}"
        self.gptmoe("import", source, "--out", start)
        self.gptmoe("export", start, "--out", again)
        return start, same_tensors(source, again)

    def our_loss(self, run, windows=None):
        """The mean loss over the first windows of the validation shard, by default all."""
        tokens, scores = (windows or self.tokens // T) * T, self.folder / "scores.json"
        self.gptmoe("eval", run, "--data", self.folder / "val.bin", "--tokens", tokens, "--json", scores)
        (text,) = json.loads(scores.read_text())["texts"]
        assert text["tokens"] == tokens, text
        return text["loss"]

    def windows(self):
        ids = torch.tensor(read_shard(self.folder / "val.bin"))
        return torch.stack([ids[i * T : (i + 1) * T + 1] for i in range(self.tokens // T)])

    def their_losses(self, model):
        """The mean loss of each window."""
        return torch.cat([window_losses(model, batch) for batch in self.windows().split(64)])

    def difference(self, name, run, model, theirs):
        """The relative difference of the losses, without windows in which rounding chooses the experts: where two
        experts have the same score except in the last digits, either choice is right, and the two give different losses."""
        near_ties = []  # windows, and what each adds to the sum of the losses

        def gap(count):
            return self.our_loss(run, count) * count - float(theirs[:count].sum()) - sum(
                by for window, by in near_ties if window < count)

        while len(near_ties) < 4 and abs(gap(len(theirs))) > 1e-6 * float(theirs.sum()):
            below, above = 0, len(theirs)  # the gap is small after `below` windows, and large after `above`
            while above - below > 1:
                middle = (below + above) // 2
                below, above = (below, middle) if abs(gap(middle)) > 0.5e-6 * float(theirs.sum()) else (middle, above)
            by = gap(above) - (gap(below) if below else 0)
            if not rounding_decides(model, self.windows()[below : below + 1], by):
                break
            near_ties.append((below, by))
        relative = abs(gap(len(theirs))) / float(theirs.sum())
        self.expect(relative <= 1e-6, f"{name}: loss {self.our_loss(run)} and {theirs.mean()}")
        return f"{relative:.0e}" + (f" without {len(near_ties)} of {len(theirs)} windows" if near_ties else "")

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


def window_losses(model, windows):
    with torch.no_grad():
        logits = model(input_ids=windows).logits[:, :-1].double()
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), windows[:, 1:], reduction="none").mean(1)


def rounding_decides(model, window, difference):
    """Whether changes in the last digits of the embedding change a window's loss by about `difference`."""
    weight, losses = model.get_input_embeddings().weight, []
    kept = weight.detach().clone()
    generator = torch.Generator(kept.device).manual_seed(1)  # a second run of the script decides the same
    with torch.no_grad():
        for _ in range(32):
            noise = torch.randn(kept.shape, generator=generator, dtype=kept.dtype, device=kept.device)
            weight.copy_(kept * (1 + 2e-7 * noise))
            losses.append(float(window_losses(model, window)))
        weight.copy_(kept)
    return abs(max(losses) - min(losses) - abs(difference)) < 0.1 * abs(difference)


def same_tensors(source, export):
    """Whether two folders hold the same tensors. The export is in f32, which holds every value of the source's type."""
    theirs, ours = ({name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}
                    for folder in (source, export))
    return theirs.keys() == ours.keys() and all(torch.equal(theirs[name].float(), ours[name]) for name in ours)


def print_table(head, names, run):
    if not names:
        return
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|", flush=True)
    for index, name in enumerate(names):
        print("| " + " | ".join(run(index, name)) + " |", flush=True)
    print()


def chosen_names(parser, only, known):
    """The names in the value of --only, or all names. An unknown name ends the script."""
    names = only.split(";") if only else list(known)
    for name in names:
        if name not in known:
            parser.error(f"--only: unknown name {name!r}; the names are: {'; '.join(known)}")
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gptmoe", default="build/gptmoe", help="the program")
    parser.add_argument("--tokens", type=int, default=65536, help=f"tokens of the losses, a multiple of {T}")
    parser.add_argument("--only", help="cases to run, separated by semicolons")
    parser.add_argument("--keep", help="a new folder for all files (default: a temporary one)")
    options = parser.parse_args()
    if options.tokens < T or options.tokens % T:
        parser.error(f"--tokens {options.tokens}: must be a multiple of {T}")
    names = chosen_names(parser, options.only, [*CASES, *IMPORTS])
    exports, imports = ([name for name in names if name in cases] for cases in (CASES, IMPORTS))
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary).absolute()
        folder.mkdir(exist_ok=True)
        check = Check(Path(options.gptmoe).absolute(), folder, options.tokens)
        print(f"transformers {transformers.__version__}, PyTorch {torch.__version__}, "
              f"{check.gptmoe('--version').splitlines()[0]}; losses over {options.tokens:,} tokens\n")
        print_table(["model", "class", "parameters", "gptmoe eval", "transformers", "relative difference",
                     "same greedy text", "same in a padded batch", "same ids", "same after an import",
                     "bf16 loss"], exports, check.run_case)
        print_table(["model", "class", "weights", "parameters", "transformers", "gptmoe eval", "relative difference",
                     "same greedy text", "same tensors"], imports, check.run_import)
        if exports:
            check.refuses_checkpoints()
        for failure in check.failures:
            print("DIFFERS:", failure)
        print(f"{len(names)} models, {len(check.failures)} differences")
        return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
