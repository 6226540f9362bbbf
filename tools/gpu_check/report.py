#!/usr/bin/env python3
"""Turns the output of tools/gpu_check.sh's stages into Markdown. Exit status 1 if a check fails.

    report.py tokens DIR                          writes shards of generated tokens that a model can learn to predict
    report.py curves START_CPU START_F32 CPU F32 BF16   compares the loss curves of runs: the first two to rounding
    report.py steps STEPS.json BEFORE MEMORY.txt  lines of bench step; MiB used before it; MiB during it, one per line
    report.py aims PORTABLE.json STEPS.json DENSE.json   speed with the portable and the fastest kernels, and of a dense
                                                  model
    report.py pytorch PYTORCH.json STEPS.json     PyTorch's lines beside those of bench step
"""
import array
import json
import os
import random
import sys

SAME_START_WITHIN, F32_WITHIN, BF16_WITHIN, MEMORY_WITHIN = 1e-4, 0.002, 0.01, 0.05
TOKENS_PER_SECOND, MOE_WITHIN, DEFAULT_WITHIN = 185_000, 0.05, 0.005


def tokens(folder):
    """Each of the 2048 tokens has eight likely successors, some likelier than others."""
    os.makedirs(folder + ".tmp")
    rng = random.Random(1)
    successors = [[rng.randrange(2048) for _ in range(8)] for _ in range(2048)]
    for split, count in (("train", 450_000), ("val", 20_000)):
        ids, token = array.array("H"), 0
        for _ in range(count):
            likely = successors[token][min(rng.getrandbits(3), rng.getrandbits(3))]
            token = rng.randrange(2048) if rng.random() < 0.1 else likely
            ids.append(token)
        header = array.array("i", [20240520, 1, count] + [0] * 253)
        with open(f"{folder}.tmp/{split}_000000.bin", "wb") as file:
            file.write(header.tobytes() + ids.tobytes())
    os.rename(folder + ".tmp", folder)


def losses(run):
    with open(os.path.join(run, "metrics.jsonl")) as file:
        rows = [json.loads(line) for line in file]
    return [row["loss"] for row in rows if row["event"] == "train"]


def curves(*runs):
    start_cpu, start_f32, cpu, f32, bf16 = map(losses, runs)
    print("| curve | against | steps | largest difference | mean difference | allowed | last losses |")
    print("|---|---|---|---:|---:|---:|---|")
    kept, worst = True, []
    for name, other, curve, reference, within in (
            ("f32", "the CPU", start_f32, start_cpu, SAME_START_WITHIN),
            ("f32", "the CPU", f32, cpu, F32_WITHIN),
            ("bf16", "f32", bf16, f32, BF16_WITHIN)):
        if len(curve) != len(reference):
            sys.exit(f"{name} has {len(curve)} steps, {other} {len(reference)}")
        apart = [abs(a / b - 1) for a, b in zip(curve, reference)]
        kept &= max(apart) <= within
        print(f"| {name} | {other} | {len(curve)} | {max(apart):.2e} | {sum(apart) / len(apart):.2e} | {within:.0e} | "
              f"{curve[-1]:.5f}, {reference[-1]:.5f} |")
        worst.append(f"{name} {max(apart):.1e} from {other}")
    if not kept:
        sys.exit("the loss curves are too far apart: " + ", ".join(worst))
    print(f"\nresult: {', '.join(worst)}")


def json_lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.startswith("{")]


def steps(path, before, memory_path):
    rows = json_lines(path)
    print("| router | tokens/s | model TFLOP/s | large products' TFLOP/s | share |\n|---|---:|---:|---:|---:|")
    runs = [row for row in rows if "router" in row]
    for row in runs:
        print(f"| {row['router']} | {row['tokens_per_second']:,.0f} | {row['model_gflops'] / 1e3:.1f} | "
              f"{row['matrix_gflops'] / 1e3:.1f} | {row['share_of_matrix_rate']:.1%} |")
    together = [row["to_first"] for row in runs if "to_first" in row]
    for ratio in together:
        print(f"\n{runs[1]['router']} / {runs[0]['router']}, in turns: {ratio:.4f}")
    for run in runs:
        predictions(run)
    # If the routers took turns, both were in memory; otherwise the larger one counts.
    planned = (sum if together else max)(row["planned_mib"] for row in runs)
    with open(memory_path) as file:
        used = max(int(line) for line in file) - int(before)
    print(f"\nMemory: {planned:,.0f} MiB planned, {used:,} MiB used with CUDA's own, {used / planned - 1:+.1%}")
    if abs(used / planned - 1) > MEMORY_WITHIN:
        sys.exit("memory is not as planned")


def predictions(run):
    """The ops of a step, as `gptmoe plan --kernels` predicts them, beside their measured times."""
    ops = [row for row in run.get("ops", []) if "predicted_us" in row]
    if not ops:
        return
    print(f"\n{run['router']}: predicted and measured, op by op\n")
    print("| op | shape | calls | predicted ms | measured ms | measured / predicted |\n|---|---|---:|---:|---:|---:|")
    listed = [row for row in ops if row["share"] >= 0.01]
    rest = [row for row in ops if row["share"] < 0.01]
    rows = [(row["name"], row["shape"], row["calls"], row["predicted_us"], row["median_us"]) for row in listed]
    rows += [(name, "", sum(row["calls"] for row in some), sum(row["predicted_us"] for row in some),
              sum(row["median_us"] for row in some)) for name, some in (("others", rest), ("all ops", ops))]
    for name, shape, calls, predicted, measured in rows:
        print(f"| {name} | {shape} | {calls} | {predicted / 1e3:.2f} | {measured / 1e3:.2f} | "
              f"{measured / max(predicted, 1e-9):.2f} |")
    step = run["median_us"]
    print(f"\nThe step without timing took {step / 1e3:.1f} ms, "
          f"{step / sum(row['predicted_us'] for row in ops):.2f} times the prediction.")


def aims(portable_path, steps_path, dense_path):
    speed = {}
    for name, path in (("portable", portable_path), ("fastest", steps_path), ("dense", dense_path)):
        for row in json_lines(path):
            if "router" in row:
                speed[name, row["router"]] = row["tokens_per_second"]
    topk, default, dense = speed["fastest", "topk"], speed["fastest", "default"], speed["dense", "topk"]
    print("\n| router | portable kernels, tokens/s | fastest kernels | ratio |\n|---|---:|---:|---:|")
    for router in ("topk", "default"):
        portable, fastest = speed["portable", router], speed["fastest", router]
        print(f"| {router} | {portable:,.0f} | {fastest:,.0f} | {fastest / portable:.3f} |")
    print("\n| aim | measured | result |\n|---|---:|---|")
    met_aims = 0
    for aim, measured, met in (
            (f"8c1 trains at {TOKENS_PER_SECOND:,} tokens/s", f"{default:,.0f}", default >= TOKENS_PER_SECOND),
            (f"TopK within {MOE_WITHIN:.0%} of a dense model with its active width", f"{topk / dense - 1:+.1%}",
             topk >= (1 - MOE_WITHIN) * dense),
            (f"Default within {DEFAULT_WITHIN:.1%} of TopK", f"{default / topk - 1:+.2%}",
             default >= (1 - DEFAULT_WITHIN) * topk)):
        print(f"| {aim} | {measured} | {'pass' if met else 'fail'} |")
        met_aims += met
    print(f"\nresult: {default:,.0f} tokens/s (Default), {topk:,.0f} (TopK), {dense:,.0f} (dense); "
          f"{met_aims} of 3 aims met")


def pytorch(path, steps_path):
    found = []
    ours = {row["router"]: row["tokens_per_second"] for row in json_lines(steps_path) if "router" in row} \
        if os.path.exists(steps_path) else {}
    print("| router | PyTorch tokens/s | model TFLOP/s | peak MiB | how | gptmoe / PyTorch |")
    print("|---|---:|---:|---:|---|---:|")
    for row in json_lines(path):
        how = (f"{row['version']}, {row['mode']}, {row['experts']}, {row['attention']}, "
               f"{row['micro_batches']} x {row['micro_batch']} sequences")
        ratio = f"{ours[row['router']] / row['tokens_per_second']:.2f}" if row["router"] in ours else "not measured"
        print(f"| {row['router']} | {row['tokens_per_second']:,.0f} | {row['model_gflops'] / 1e3:.1f} | "
              f"{row.get('peak_mib', 0):,.0f} | {how} | {ratio} |")
        found.append(f"{row['router']} {row['tokens_per_second']:,.0f} tokens/s ({row['mode']}); gptmoe / it {ratio}")
    print(f"\nresult: {', '.join(found)}")


COMMANDS = {"aims": aims, "tokens": tokens, "curves": curves, "steps": steps, "pytorch": pytorch}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
