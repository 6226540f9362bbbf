"""Made-up runs for report_check.py, and what a report must show of them."""
import json
import math
import subprocess

ARMS = {"topk": 'TopK, "plain"', "default": "Default"}  # router and label; CSV must quote the first label
SEEDS = (1, 2)
STEPS, TOKENS = 60, 1000  # steps of a run, and tokens of a step
EVERY = {"topk": 6, "default": 4}  # steps between evaluations
RATES = (1e-3, 2e-3, 4e-3)


def perplexity(arm, seed, step, rate=1e-3):
    return 30 + 90 / math.sqrt(step) + seed + (4 - 0.1 * step if arm == "default" else 0) + 1000 * (rate - 1e-3)


def loss(arm, step):
    return 5 - 0.03 * step + (0.4 if step % 3 == 0 else 0) + (0.1 if arm == "default" else 0)


def seconds(arm, step):
    return step * (10 if arm == "topk" else 11)


def write_run(folder, arm, seed, rate):
    folder.mkdir(parents=True)
    config = {"router": {"type": arm}, "optimizer": {"learning_rate": rate}, "train": {"steps": STEPS}, "seed": seed}
    (folder / "config.json").write_text(json.dumps(config))
    rows = []
    for step in range(1, STEPS + 1):
        place = {"step": step, "tokens": step * TOKENS, "seconds": seconds(arm, step)}
        rows.append({"event": "train", **place, "loss": loss(arm, step), "lr": rate, "grad_norm": 1.25, "mfu": None,
                     "tokens_per_second": TOKENS / seconds(arm, 1), "expert_load_max": 0.4, "expert_load_min": 0.1})
        if step % EVERY[arm] == 0:
            value = perplexity(arm, seed, step, rate)
            rows.append({"event": "eval", **place, "val_loss": math.log(value), "val_perplexity": value,
                         "expert_load": [[0.4, 0.3, 0.2, 0.1]] * 2, "router_entropy": [1.2, 0.9]})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_reports(gptmoe, folder):
    for arm in ARMS:
        for seed in SEEDS:
            write_run(folder / "two" / arm / f"seed_{seed}", arm, seed, RATES[0])
            for rate in RATES:
                write_run(folder / "sweep" / arm / f"learning_rate={rate:g}" / f"seed_{seed}", arm, seed, rate)
    labels = [word for label in ARMS.values() for word in ("--label", label)]
    for name in ("two", "sweep"):
        subprocess.run([gptmoe, "report", folder / name, *labels], check=True, stdout=subprocess.DEVNULL)
    return folder / "two/report.html", folder / "sweep/report.html"


def means(arm, step):
    return sum(perplexity(arm, seed, step) for seed in SEEDS) / len(SEEDS)


def brief(value):
    return f"{float(f'{value:.5g}'):g}" if value >= 1e5 else str(float(f"{value:.5g}")).removesuffix(".0")


def with_band(arm, step):
    low, high = (perplexity(arm, seed, step) for seed in SEEDS)
    return f"{brief(means(arm, step))} ({brief(low)} to {brief(high)})"
