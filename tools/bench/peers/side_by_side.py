#!/usr/bin/env python3
"""Times gptmoe and its peers in turn on the same config. Prints ratios and medians as a Markdown table.

    python3 side_by_side.py CONFIG.json [--rounds 5] [--threads 1,2] [--llmc DIR] [--skip TEXT]...
    python3 side_by_side.py CONFIG.json --device cuda [--micro-batches 16]

Run it with the Python that has the peers' packages (README.md). Every round runs each setting once, one program at a
time, so that a machine that slows down affects all of them. If a peer's setting fails, its error message stays in the
table and it is not tried again. If gptmoe fails, the rounds end, and the exit status is 1.

On a CPU every program runs in f32, and gptmoe and PyTorch also in bf16. The column "precision" says which:

    f32             everything is f32
    mixed bf16      gptmoe: operands of products and attention are rounded to bf16, everything else is f32
    autocast bf16   PyTorch: products and attention run in bf16; weights, gradients and optimizer are f32
    bf16 weights    weights, gradients and optimizer are bf16 too

A ratio is the tokens/s of our best setting in a precision divided by the peer's, in the same round; the table has the
median, the lowest and the highest. Our f32 is compared with f32 only, our bf16 with both, but not with OLMoE's f32 on a
CPU, where OLMoE is not timed in bf16. A share is tokens/s times gptmoe's FLOPs per token, divided by the rate of large
matrix products in f32 or bf16, which gptmoe measures at the same thread count in the same round. OpenMP threads of all
programs spin as briefly as gptmoe's own (environment.py), except in rows marked "environment as it comes".
"""
import argparse
import dataclasses
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys

from environment import with_short_spinning
from run_config import fail, read_json

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.normpath(os.path.join(HERE, "../../.."))
PYTORCH_PRECISIONS = {"f32": "f32", "autocast": "autocast bf16", "bf16": "bf16 weights"}  # by pytorch_moe.py's option


@dataclasses.dataclass
class Setting:
    peer: str
    name: str
    precision: str
    threads: str
    command: list
    plain: bool = False  # run in the unchanged environment
    bf16_untimed: bool = False  # the peer can compute in bf16 too, but no setting does here
    rates: dict = dataclasses.field(default_factory=dict)  # by round
    ceilings: dict = dataclasses.field(default_factory=dict)  # gptmoe's, by round: tokens/s at full matmul throughput
    reason: str = ""  # why it failed

    @property
    def label(self):
        return f"{self.name}, {self.precision}"

    @property
    def kind(self):
        return "f32" if self.precision == "f32" else "bf16"

    def median(self):
        return statistics.median(self.rates.values())

    def ratios_to(self, other):
        """One ratio per round. The list is empty for f32 divided by bf16, since the bf16 program computes less exactly,
        and for bf16 divided by f32 if the peer's bf16 is not timed, since f32 may not be the peer's best."""
        if self.kind != other.kind and (self.kind == "f32" or other.bf16_untimed):
            return []
        return [rate / other.rates[number] for number, rate in self.rates.items() if number in other.rates]


def ours(options, precision, threads=""):
    command = [options.bench, "bench", "step", options.config, "--device", options.device, "--precision", precision,
               "--rounds", "1", "--no-account", "--json", "-"]
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
        add = lambda peer, name, precision, command, **more: settings.append(
            Setting(peer, name, precision, threads, command, **more))
        length = ["--threads", threads, "--steps", str(options.steps), "--warmup", str(options.warmup), "--rounds", "1"]
        add("gptmoe", "gptmoe", "f32", ours(options, "f32", threads))
        add("gptmoe", "gptmoe", "mixed bf16", ours(options, "bf16", threads))
        for option, precision in PYTORCH_PRECISIONS.items():
            for mode in ("eager", "compiled"):
                for experts in ("each", "stacked", "grouped") if moe else ("each",):
                    add("PyTorch", f"PyTorch {mode}" + f", experts {experts}" * moe, precision,
                        python("pytorch_moe.py", options.config, "--modes", mode, "--experts", experts,
                               "--precision", option, *length))
        add("PyTorch", "PyTorch eager, environment as it comes", "f32",
            python("pytorch_moe.py", options.config, "--plain", *length), plain=True)
        if moe:
            for mode, experts in (("eager", "eager"), ("eager", "grouped_mm"), ("compiled", "grouped_mm")):
                add("OLMoE", f"OLMoE {mode}, experts {experts}", "f32",
                    python("huggingface_olmoe.py", options.config, "--modes", mode, "--experts", experts, *length),
                    bf16_untimed=True)
        if options.llmc:
            add("llm.c", "llm.c", "f32", python("llmc.py", options.config, "--dir", options.llmc, "--threads", threads))
    return settings


def cuda_settings(options):
    settings = [Setting("gptmoe", "gptmoe", "mixed bf16", "", ours(options, "bf16"))]
    length = ["--micro-batches", str(options.micro_batches), "--warmup", "1", "--rounds", "1"]
    for mode in ("compiled", "eager"):
        flags = ["--eager"] * (mode == "eager")
        settings.append(Setting("PyTorch", f"PyTorch {mode}", "bf16 weights", "",
                                python("pytorch_moe_gpu.py", options.config, *length, *flags)))
        settings.append(Setting("OLMoE", f"OLMoE {mode}, experts grouped_mm", "bf16 weights", "",
                                python("huggingface_olmoe.py", options.config, "--device", "cuda", *length, *flags)))
    return settings


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else ""


def run(setting, number, options):
    """Runs the setting and adds the round's rate, or the reason why there is none. Returns the program's JSON."""
    environment = dict(os.environ) if setting.plain else with_short_spinning(os.environ)
    if setting.threads:
        environment["OMP_NUM_THREADS"] = setting.threads
    try:
        done = subprocess.run(setting.command, capture_output=True, text=True, env=environment, timeout=options.timeout)
        if done.returncode != 0:
            raise RuntimeError(last_line(done.stderr or done.stdout) or f"exit status {done.returncode}")
        row = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
        rate = float(row["tokens_per_second"])
        if not 0 < rate < math.inf:
            raise ValueError(f"it says {rate} tokens/s")
        if "share_of_matrix_rate" in row:
            setting.ceilings[number] = rate / row["share_of_matrix_rate"]
        setting.rates[number] = rate
        return row
    except StopIteration:
        setting.reason = "it printed no result"
    except subprocess.TimeoutExpired:
        setting.reason = f"longer than {options.timeout} s"
    except (OSError, RuntimeError, ValueError) as error:
        setting.reason = last_line(str(error))
    except KeyError as error:
        setting.reason = f"its result has no {error}"
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
    """The origin of a table's numbers. Called before the first round."""
    lines = {"config": options.config, "machine": machine(), "date": f"{datetime.date.today()}",
             "commit": output_of("git", "-C", REPO, "describe", "--always", "--dirty"),
             "Python": platform.python_version()}
    if options.device == "cuda":
        lines["GPU"] = output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    return lines


def spread(values, digits):
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def shares(setting, settings):
    """The setting's shares of the matmul throughput at its thread count, in f32 or bf16, one per round."""
    ours = next((s for s in settings if (s.peer, s.threads, s.kind) == ("gptmoe", setting.threads, setting.kind)), None)
    return [rate / ours.ceilings[number] for number, rate in setting.rates.items() if ours and number in ours.ceilings]


def best_settings(settings):
    """The fastest setting of each program in f32, and in bf16."""
    best = {}
    for setting in settings:
        key = setting.peer, setting.kind
        if setting.rates and (key not in best or setting.median() > best[key].median()):
            best[key] = setting
    return best


def speed_text(setting):
    speed = spread(setting.rates.values(), 0) if setting.rates else "" if setting.reason else "not timed"
    if setting.reason:
        rounds = f" after {len(setting.rates)} rounds" if setting.rates else ""
        speed = f"{speed} failed{rounds}: {setting.reason.replace('|', '/')}".strip()
    return speed


def say_table(settings):
    best = best_settings(settings)
    compared = [best["gptmoe", kind] for kind in ("f32", "bf16") if ("gptmoe", kind) in best]
    columns = ["program", "precision", "threads", "tokens/s, median (lowest to highest)", "share of the matrix rate",
               *(f"gptmoe {us.precision} / program, median of rounds (lowest to highest)" for us in compared)]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for setting in settings:
        of_rounds = shares(setting, settings)
        cells = [setting.name, setting.precision, setting.threads, speed_text(setting),
                 f"{statistics.median(of_rounds):.0%}" if of_rounds else ""]
        for us in compared:
            ratios = us.ratios_to(setting) if setting.peer != "gptmoe" else []
            ratio = spread(ratios, 2) if ratios else ""
            cells.append(f"**{ratio}**" if ratio and best[setting.peer, setting.kind] is setting else ratio)
        print(f"| {' | '.join(cells)} |")
    print()
    for (peer, _), theirs in best.items():
        for us in compared:
            ratios = us.ratios_to(theirs) if peer != "gptmoe" else []
            if ratios:
                threads = f", threads: {theirs.threads}" if theirs.threads else ""
                print(f"- gptmoe {us.precision} / {peer} {theirs.kind}, each at its best: "
                      f"**{statistics.median(ratios):.2f}**, the median of {len(ratios)} rounds, {min(ratios):.2f} to "
                      f"{max(ratios):.2f}; {us.median() / theirs.median():.2f} by the medians of tokens/s "
                      f"({theirs.label}{threads}).")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(message)


def at_least(least):
    def number(text):
        if not text.strip().isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least {least}")
        return int(text)

    return number


def thread_counts(text):
    return ",".join(dict.fromkeys(str(at_least(1)(part)) for part in text.split(",")))


def check(options):
    """Before the first round, reports errors that would make every round fail or would show only after all rounds."""
    if not os.access(options.bench, os.X_OK) or os.path.isdir(options.bench):
        fail(f"{options.bench}: no program there; build gptmoe or say with --bench where it is")
    read_json(options.config)
    if options.llmc and options.device == "cuda":
        fail("--llmc is llm.c's CPU trainer; README.md says how to time the one for GPUs")
    if options.llmc and not os.access(os.path.join(options.llmc, "train_gpt2"), os.X_OK):
        fail(f"{options.llmc}: no train_gpt2 there; README.md says how to build it")


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument("--threads", type=thread_counts, default="1,2", help="CPU: thread counts, separated by commas")
    parser.add_argument("--steps", type=at_least(1), default=10, help="CPU: steps in a round")
    parser.add_argument("--warmup", type=at_least(0), default=5, help="CPU: steps before each round")
    parser.add_argument("--micro-batches", type=at_least(1), default=16, help="GPU: micro-batches in a step")
    parser.add_argument("--llmc", metavar="DIR", help="a checkout of llm.c as README.md prepares it")
    parser.add_argument("--skip", action="append", default=[], metavar="TEXT",
                        help="leave out settings whose program and precision, as 'PyTorch eager, experts each, "
                             "autocast bf16', contain TEXT")
    parser.add_argument("--timeout", type=at_least(1), default=1200, help="seconds a program may take")
    parser.add_argument("--bench", default=os.path.join(REPO, "build/gptmoe"))
    options = parser.parse_args()
    check(options)

    settings = cpu_settings(options) if options.device == "cpu" else cuda_settings(options)
    settings = [s for s in settings if not any(text in s.label for text in options.skip)]
    if not settings:
        fail("--skip leaves nothing")
    lines, versions = head(options), {}
    failed = None  # why gptmoe failed
    for number in range(1, options.rounds + 1):
        for setting in settings:
            if setting.reason or failed:
                continue
            row = run(setting, number, options)
            if "version" in row:
                versions[setting.peer] = row["version"]
            rate = f"{setting.rates[number]:,.0f} tokens/s" if row else f"failed: {setting.reason}"
            print(f"round {number} of {options.rounds}: {setting.label}, {setting.threads or 'no'} threads: {rate}",
                  file=sys.stderr, flush=True)
            if setting.reason and setting.peer == "gptmoe":
                failed = setting
    lines["versions"] = ", ".join(f"{peer} {version}" for peer, version in versions.items()) or "none"
    lines["rounds"] = number
    print("\n".join(f"- {name}: {value}" for name, value in lines.items()), end="\n\n")
    say_table(settings)
    if failed:
        print(f"side_by_side.py: gptmoe failed: {failed.reason}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
