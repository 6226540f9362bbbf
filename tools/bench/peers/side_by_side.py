#!/usr/bin/env python3
"""gptmoe and its peers in turn on the same config, ratios with medians, as a Markdown table.

    python3 side_by_side.py CONFIG.json [--rounds 5] [--threads 1,2] [--llmc DIR] [--skip TEXT]...
    python3 side_by_side.py CONFIG.json --device cuda [--micro-batches 16]

Run it by the Python that has the peers' packages (README.md). Every round runs each setting once, one program at a
time, so that a machine that slows down slows all of them. A setting that fails stays in the table with what it said,
and is not tried again. Ratios are our best median to theirs; below the table also the least and the greatest of the
rounds' own ratios, best setting to best setting.
"""
import argparse
import dataclasses
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys

from run_config import read_json

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.normpath(os.path.join(HERE, "../../.."))


@dataclasses.dataclass
class Setting:
    peer: str
    name: str
    threads: str
    command: list
    rates: dict = dataclasses.field(default_factory=dict)  # by round
    shares: list = dataclasses.field(default_factory=list)
    reason: str = ""  # why it failed

    def median(self):
        return statistics.median(self.rates.values())


def ours(options, threads):
    command = [options.bench, "bench", "step", options.config, "--device", options.device, "--rounds", "1",
               "--no-account", "--json", "-"]
    if options.device == "cuda":
        batch = options.micro_batches * read_json(options.config)["train"]["micro_batch_size"]
        return command + ["--steps", "1", "--warmup", "1", "--set", f"train.global_batch_size={batch}"]
    return command + ["--threads", threads, "--steps", str(options.steps), "--warmup", str(options.warmup)]


def python(script, *arguments):
    return [sys.executable, os.path.join(HERE, script), *arguments]


def cpu_settings(options):
    moe = read_json(options.config)["model"].get("num_experts", 0) > 0
    settings = []
    for threads in options.threads.split(","):
        add = lambda peer, name, command: settings.append(Setting(peer, name, threads, command))
        length = ["--threads", threads, "--steps", str(options.steps), "--warmup", str(options.warmup), "--rounds", "1"]
        add("gptmoe", "gptmoe", ours(options, threads))
        for mode in ("eager", "compiled"):
            for experts in ("each", "grouped")[: 1 + moe]:
                add("PyTorch", f"PyTorch {mode}" + f", experts {experts}" * moe,
                    python("pytorch_moe.py", options.config, "--modes", mode, "--experts", experts, *length))
        add("PyTorch", "PyTorch eager, environment as it comes",
            python("pytorch_moe.py", options.config, "--plain", *length))
        if moe:
            for mode, experts in (("eager", "eager"), ("eager", "grouped_mm"), ("compiled", "grouped_mm")):
                add("OLMoE", f"OLMoE {mode}, experts {experts}",
                    python("huggingface_olmoe.py", options.config, "--modes", mode, "--experts", experts, *length))
        if options.llmc:
            add("llm.c", "llm.c", python("llmc.py", options.config, "--dir", options.llmc, "--threads", threads))
    return settings


def cuda_settings(options):
    settings = [Setting("gptmoe", "gptmoe", "", ours(options, ""))]
    length = ["--micro-batches", str(options.micro_batches), "--warmup", "1", "--rounds", "1"]
    for mode in ("compiled", "eager"):
        flags = ["--eager"] * (mode == "eager")
        settings.append(Setting("PyTorch", f"PyTorch {mode}", "",
                                python("pytorch_moe_gpu.py", options.config, *length, *flags)))
        settings.append(Setting("OLMoE", f"OLMoE {mode}, experts grouped_mm", "",
                                python("huggingface_olmoe.py", options.config, "--device", "cuda", *length, *flags)))
    return settings


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "no output"


def run(setting, number, options):
    """Adds the round's rate, or the reason why there is none. Returns the program's JSON."""
    environment = {**os.environ, **({"OMP_NUM_THREADS": setting.threads} if setting.threads else {})}
    try:
        done = subprocess.run(setting.command, capture_output=True, text=True, env=environment, timeout=options.timeout)
        if done.returncode != 0:
            raise RuntimeError(last_line(done.stderr or done.stdout))
        row = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
        setting.rates[number] = row["tokens_per_second"]
        if "share_of_matrix_rate" in row:
            setting.shares.append(row["share_of_matrix_rate"])
        return row
    except StopIteration:
        setting.reason = "it printed no result"
    except subprocess.TimeoutExpired:
        setting.reason = f"longer than {options.timeout} s"
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        setting.reason = last_line(str(error))
    return {}


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine():
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} logical cores, load {os.getloadavg()[0]:.1f} at the start"


def head(options):
    """What a table has to say of where it comes from; before the first round."""
    lines = {"config": options.config, "machine": machine(), "date": f"{datetime.date.today()}",
             "commit": output_of("git", "-C", REPO, "describe", "--always", "--dirty"),
             "Python": platform.python_version()}
    if options.device == "cuda":
        lines["GPU"] = output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    return lines


def say_table(settings):
    best = {}
    for setting in settings:
        if setting.rates and (setting.peer not in best or setting.median() > best[setting.peer].median()):
            best[setting.peer] = setting
    print("| program | threads | tokens/s, median (lowest to highest) | share of the matrix rate | gptmoe / it |")
    print("|---|---|---|---|---|")
    for setting in settings:
        speed = share = ratio = ""
        if setting.rates:
            values = setting.rates.values()
            speed = f"{setting.median():,.0f} ({min(values):,.0f} to {max(values):,.0f})"
        if setting.reason:
            rounds = f" after {len(setting.rates)} rounds" if setting.rates else ""
            speed = f"{speed} failed{rounds}: {setting.reason.replace('|', '/')}".strip()
        if setting.shares:
            share = f"{statistics.median(setting.shares):.0%}"
        if setting.rates and setting.peer != "gptmoe" and "gptmoe" in best:
            ratio = f"{best['gptmoe'].median() / setting.median():.2f}"
            ratio = f"**{ratio}**" if best[setting.peer] is setting else ratio
        print(f"| {setting.name} | {setting.threads} | {speed} | {share} | {ratio} |")
    print()
    for peer, theirs in best.items():
        if peer == "gptmoe" or "gptmoe" not in best:
            continue
        us = best["gptmoe"]
        ratios = [us.rates[r] / theirs.rates[r] for r in theirs.rates if r in us.rates]
        print(f"gptmoe / {peer}, each at its best: **{us.median() / theirs.median():.2f}** by medians"
              + (f", {min(ratios):.2f} to {max(ratios):.2f} by rounds" if ratios else "")
              + f" ({theirs.name}{', ' + theirs.threads + ' threads' if theirs.threads else ''}).")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2", help="CPU: thread counts, separated by commas")
    parser.add_argument("--steps", type=int, default=10, help="CPU: steps in a round")
    parser.add_argument("--warmup", type=int, default=5, help="CPU: steps before them")
    parser.add_argument("--micro-batches", type=int, default=16, help="GPU: of a step")
    parser.add_argument("--llmc", metavar="DIR", help="a checkout of llm.c as README.md prepares it")
    parser.add_argument("--skip", action="append", default=[], metavar="TEXT", help="leave out settings so named")
    parser.add_argument("--timeout", type=int, default=1200, help="seconds a program may take")
    parser.add_argument("--bench", default=os.path.join(REPO, "build/gptmoe"))
    options = parser.parse_args()

    settings = cpu_settings(options) if options.device == "cpu" else cuda_settings(options)
    settings = [s for s in settings if not any(text in s.name for text in options.skip)]
    lines, versions = head(options), {}
    for number in range(1, options.rounds + 1):
        for setting in settings:
            if setting.reason:
                continue
            row = run(setting, number, options)
            if "version" in row:
                versions[setting.peer] = row["version"]
            rate = f"{row['tokens_per_second']:,.0f} tokens/s" if row else f"failed: {setting.reason}"
            print(f"round {number} of {options.rounds}: {setting.name}, {setting.threads or 'no'} threads: {rate}",
                  file=sys.stderr, flush=True)
    lines["versions"] = ", ".join(f"{peer} {version}" for peer, version in versions.items()) or "none"
    lines["rounds"] = options.rounds
    print("\n".join(f"- {name}: {value}" for name, value in lines.items()), end="\n\n")
    say_table(settings)


if __name__ == "__main__":
    main()
