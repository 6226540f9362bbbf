#!/usr/bin/env python3
"""Times llm.c's CPU trainer, prepared and built as README.md says, on the dense model of a gptmoe config.

    python3 llmc.py CONFIG.json --dir LLMC_DIR [--threads 2] [--steps 5] [--warmup 1]

Prints one JSON object: the median of the steps after the first. Its shape and batch must be the config's.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys

from llmc_inputs import TOKENS
from run_config import read_json


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
    batch = train["micro_batch_size"] * train["sequence_length"]
    wanted = {"vocab_size": m["vocab_size"], "num_layers": m["num_hidden_layers"], "channels": m["hidden_size"],
              "num_heads": m["num_attention_heads"], "train dataset num_batches": TOKENS // batch}
    if m.get("num_experts", 0) or m.get("hidden_act") != "gelu" or m["intermediate_size"] != 4 * m["hidden_size"]:
        sys.exit("llm.c has dense GPT-2 models only, with a GELU of four times the width")

    seconds = []
    with subprocess.Popen(["stdbuf", "-oL", "./train_gpt2"], cwd=options.dir, text=True, stdout=subprocess.PIPE,
                          errors="replace", env={**os.environ, "OMP_NUM_THREADS": str(options.threads)}) as program:
        for line in program.stdout:
            name, _, value = line.partition(":")
            if name in wanted and int(value) != wanted[name]:
                program.kill()
                sys.exit(f"llm.c has {name} {int(value)}, the config {wanted[name]}")
            step = re.match(r"step \d+: train loss .* \(took ([\d.]+) ms\)", line)
            if step:
                seconds.append(float(step[1]) / 1000)
            if len(seconds) == options.warmup + options.steps:  # it would go on to sample and to evaluate
                program.kill()
                break
    timed = [batch / s for s in seconds[options.warmup:]]
    if not timed:
        sys.exit("llm.c printed no steps")
    print(json.dumps({"peer": "llm.c", "version": "train_gpt2", "mode": "", "threads": options.threads,
                      "tokens_per_second": statistics.median(timed), "tokens_per_second_min": min(timed),
                      "tokens_per_second_max": max(timed), "steps": len(timed), "config": options.config}))


if __name__ == "__main__":
    main()
