#!/usr/bin/env python3
"""Times llm.c's CPU trainer, prepared and built as README.md says, on the dense model of a gptmoe config.

    python3 llmc.py CONFIG.json --dir LLMC_DIR [--threads 2] [--steps 5] [--warmup 1]

Prints one JSON object with the median over the steps after the warm-up. llm.c's shape, B and T must be the config's.
llm.c does not print B and T, so they are checked through the numbers of batches and activations, which depend on them.
Tried with llm.c's commit f1e2ace651495b74ae22d45d1723443fd00ecd3a; the JSON names the commit of the checkout.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys

from environment import with_short_spinning
from llmc_inputs import TOKENS
from run_config import fail, read_json


def activations(m, B, T):
    """The number of activations that train_gpt2.c prints. It grows with B and with T in different ways."""
    L, C, H, V = m["num_hidden_layers"], m["hidden_size"], m["num_attention_heads"], m["vocab_size"]
    return L * B * (T * (18 * C + 4) + 2 * H * T * T) + B * T * (2 * C + 2 * V + 3)


def version(directory):
    git = subprocess.run(["git", "-C", directory, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return f"train_gpt2 of {git.stdout.strip() or 'an unknown commit'}"


def main():
    parser = argparse.ArgumentParser(description="time llm.c's CPU trainer")
    parser.add_argument("config")
    parser.add_argument("--dir", required=True, help="llm.c's checkout, with train_gpt2 built")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    options = parser.parse_args()
    config = read_json(options.config)
    m, train = config["model"], config["train"]
    B, T = train["micro_batch_size"], train["sequence_length"]
    batch = B * T
    wanted = {"vocab_size": m["vocab_size"], "num_layers": m["num_hidden_layers"], "channels": m["hidden_size"],
              "num_heads": m["num_attention_heads"], "train dataset num_batches": TOKENS // batch,
              "num_activations": activations(m, B, T)}
    if m.get("num_experts", 0) or m.get("hidden_act") != "gelu" or m.get("intermediate_size") != 4 * m["hidden_size"]:
        sys.exit("llm.c has dense GPT-2 models only, with a GELU of four times the width")

    if options.steps < 1 or options.warmup < 0 or options.threads < 1:
        fail("--steps and --threads must be positive, --warmup not negative")
    if not os.access(os.path.join(options.dir, "train_gpt2"), os.X_OK):
        fail(f"{options.dir}: no train_gpt2 there; README.md says how to build it")

    unsaid = set(wanted)
    seconds, environment = [], {**with_short_spinning(os.environ), "OMP_NUM_THREADS": str(options.threads)}
    with subprocess.Popen(["stdbuf", "-oL", "./train_gpt2"], cwd=options.dir, text=True, stdout=subprocess.PIPE,
                          errors="replace", env=environment) as program:
        for line in program.stdout:
            name, _, value = line.partition(":")
            if name in wanted and int(value) != wanted[name]:
                program.kill()
                sys.exit(f"llm.c has {name} {int(value)}, the config's is {wanted[name]}, with B = {B} and T = {T}")
            unsaid.discard(name)
            step = re.match(r"step \d+: train loss .* \(took ([\d.]+) ms\)", line)
            if step:
                seconds.append(float(step[1]) / 1000)
            if seconds and unsaid:
                program.kill()
                sys.exit(f"llm.c did not print its {', '.join(sorted(unsaid))}: is this another version of it?")
            if len(seconds) == options.warmup + options.steps:  # else it would sample and evaluate
                program.kill()
                break
    timed = [batch / s for s in seconds[options.warmup:]]
    if len(timed) < options.steps:
        sys.exit(f"llm.c ended after {len(seconds)} steps of {options.warmup + options.steps}")
    print(json.dumps({"peer": "llm.c", "version": version(options.dir), "mode": "", "threads": options.threads,
                      "tokens_per_second": statistics.median(timed), "tokens_per_second_min": min(timed),
                      "tokens_per_second_max": max(timed), "steps": len(timed), "config": options.config}))


if __name__ == "__main__":
    main()
