#!/usr/bin/env python3
"""gptmoe and PyTorch in turn on the same config, ratios with medians, as a Markdown table.

    python3 side_by_side.py CONFIG.json [--rounds 5] [--threads 1,2] [--compile] [--bench build/gptmoe]

Every round runs each setting once, one after another, so that a machine that slows down slows all of them. The ratio is
taken from the median of our best thread count. PyTorch runs twice: with the environment that pytorch_moe.py found
fastest (heap pages kept, MKL allowed AVX-512), and as it comes.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def rows_of(command, environment=None):
    output = subprocess.run(command, capture_output=True, text=True, env=environment)
    if output.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{output.stderr}")
    return [json.loads(line) for line in output.stdout.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--bench", default=os.path.join(HERE, "../../../build/gptmoe"))
    options = parser.parse_args()

    rates = {}
    shares = {}
    for _ in range(options.rounds):
        for threads in options.threads.split(","):
            command = [options.bench, "bench", "step", options.config, "--threads", threads, "--rounds", "1",
                       "--no-account", "--json", "-"]
            environment = {**os.environ, "OMP_NUM_THREADS": threads}
            for row in rows_of(command, environment):
                rates.setdefault(("gptmoe", int(threads)), []).append(row["tokens_per_second"])
                shares.setdefault(("gptmoe", int(threads)), []).append(row["share_of_matrix_rate"])
        for environment, flags in (("tuned environment", []), ("out of the box", ["--plain"])):
            command = [sys.executable, os.path.join(HERE, "pytorch_moe.py"), options.config, "--threads",
                       options.threads, "--rounds", "1", *flags] + (["--compile"] if options.compile else [])
            for row in rows_of(command):
                name = f"PyTorch {row['version']} {row['mode']}, {environment}"
                rates.setdefault((name, row["threads"]), []).append(row["tokens_per_second"])

    medians = {setting: statistics.median(values) for setting, values in rates.items()}
    ours = max(value for (name, _), value in medians.items() if name == "gptmoe")
    print("| program | threads | tokens/s, median (lowest to highest) | share of the matrix rate | ours / theirs |")
    print("|---|---|---|---|---|")
    for (name, threads), median in medians.items():
        values = rates[(name, threads)]
        share = shares.get((name, threads))
        print(f"| {name} | {threads} | {median:,.0f} ({min(values):,.0f} to {max(values):,.0f}) | "
              f"{f'{statistics.median(share):.0%}' if share else ''} | "
              f"{'' if name == 'gptmoe' else f'{ours / median:.2f}'} |")


if __name__ == "__main__":
    main()
