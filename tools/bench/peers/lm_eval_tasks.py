#!/usr/bin/env python3
"""Checks the scores of `gptmoe eval` against lm-evaluation-harness, on a CPU, in f32.

Trains a small model of every class of Hugging Face transformers that `gptmoe export` writes, on the texts of the given
tasks. Then both programs score the tasks and one long text: gptmoe the run, lm-evaluation-harness the exported folder.
The scores (acc, acc_norm, perplexity, bits per byte) must agree to all digits that the table shows, and the
log-likelihoods of every candidate to a relative 1e-4. Prints a Markdown table with two rows for each model. The exit
status is 1 if anything differs.

The tasks are files as `gptmoe eval --task` takes them (docs/eval.md). lm-evaluation-harness reads copies of them, in
which white space at both ends of a text is dropped, just as gptmoe drops it. Nothing is fetched.

    python3 -m venv venv && venv/bin/pip install "lm_eval[hf]"
    venv/bin/python tools/bench/peers/lm_eval_tasks.py --task arc_easy.jsonl openbook_qa.jsonl winogrande.jsonl \\
        lambada_openai.jsonl [--limit 200] [--gptmoe build/gptmoe] [--only "NAME;..."] [--keep FOLDER]
"""
import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

for setting in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
    os.environ.setdefault(setting, "1")
os.environ.setdefault("LOGLEVEL", "ERROR")
import lm_eval
import transformers
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from huggingface import CASES, chosen_names, run_program, write_shard

T = 256  # positions of the models; also the window of the long text
WINDOWS = 40
MODELS = ["olmoe", "mixtral", "qwen2_moe, shared, dense first", "phimoe", "llama", "stablelm", "gpt_neox", "default"]
# Files whose queries lack the final "Answer:" (docs/tasks.md).
ANSWERS = {"arc_easy", "arc_challenge", "boolq", "logi_qa", "piqa"}
END = "<|endoftext|>"
TEXT = "long text"
METRICS = {"multiple_choice": ["acc", "acc_norm"], "schema": ["acc"], "loglikelihood": ["acc", "perplexity"],
           "loglikelihood_rolling": ["bits_per_byte"]}


def stripped(value):
    if isinstance(value, list):
        return [stripped(item) for item in value]
    return value.strip() if isinstance(value, str) else value


class Task:
    """One file of tasks, for both programs."""

    def __init__(self, path, limit):
        self.path, self.name = path, path.stem
        self.delimiter = "\nAnswer: " if self.name in ANSWERS else " "
        with open(path) as file:
            self.lines = [stripped(json.loads(line)) for _, line in zip(range(limit), file)]
        self.kind = ("multiple_choice" if "choices" in self.lines[0] else
                     "schema" if "context_options" in self.lines[0] else "loglikelihood")

    def texts(self):
        """Contexts with the right continuations."""
        for line in self.lines:
            context = line.get("query", line.get("context")) or line["context_options"][line["gold"]]
            yield context + self.delimiter + (line.get("continuation") or line["choices"][line["gold"]])

    def write(self, folder):
        """The copy and the description that lm-evaluation-harness reads. A context never ends in white space,
        since white space there belongs to the continuation, just as in gptmoe."""
        before, space = self.delimiter.rstrip(), self.delimiter[len(self.delimiter.rstrip()):]
        rows = []
        for line in self.lines:
            row = {"gold": line.get("gold", 0), "context": line.get("query", line.get("context", "")) + before,
                   "options": line.get("choices", []),
                   "contexts": [context + before for context in line.get("context_options", [])],
                   "target": line.get("continuation", "")}
            if self.kind == "loglikelihood":
                row["target"] = space + row["target"]  # lm-evaluation-harness puts no delimiter here
            rows.append(row)
        columns = {"multiple_choice": ("context", "options", "gold"), "schema": ("gold", "contexts", "target"),
                   "loglikelihood": ("context", None, "target")}[self.kind]
        output = "multiple_choice" if self.kind == "schema" else self.kind
        write_task(folder, self.name, rows, output, METRICS[self.kind], columns, space)


def write_task(folder, name, rows, output_type, metrics, columns, delimiter=" "):
    copy = folder / f"{name}.jsonl"
    copy.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text, choice, target = columns
    task = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(copy)}},
            "test_split": "test", "output_type": output_type, "doc_to_text": text, "doc_to_target": target,
            "target_delimiter": delimiter, "metric_list": [{"metric": metric} for metric in metrics]}
    if choice:
        task["doc_to_choice"] = choice
    (folder / f"{name}.yaml").write_text(json.dumps(task))  # JSON is YAML


def run_config(folder, model, router, vocab_size, steps):
    shape = {
        "vocab_size": vocab_size, "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 192, "moe_intermediate_size": 96, "num_experts": 8, "num_experts_per_tok": 2,
        "max_position_embeddings": T,
    }
    return {
        "model": shape | model, "router": {"type": router} if isinstance(router, str) else router,
        "data": {"train": str(folder / "train_*.bin"), "tokenizer": str(folder / "tokenizer.json")},
        "train": {"steps": steps, "sequence_length": T, "micro_batch_size": 8},
        "optimizer": {"learning_rate": 3e-3}, "device": "cpu", "precision": "f32",
    }


class Check:
    def __init__(self, options, folder):
        self.program, self.folder, self.options = Path(options.gptmoe).absolute(), folder, options
        self.tasks = [Task(Path(path), options.limit) for path in options.task]
        self.failures = []
        texts = [text for task in self.tasks for text in task.texts()]
        (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        tokenize = self.program.with_name("gptmoe-tokenize")
        tokenizer = folder / "tokenizer.json"
        run_program(tokenize, "train", "--input", folder / "texts.jsonl", "--vocab-size", 2048, "--output", tokenizer)
        run_program(tokenize, "encode", "--input", folder / "texts.jsonl", "--tokenizer", tokenizer, "--output", folder)
        self.theirs = folder / "tasks"
        self.theirs.mkdir()
        for task in self.tasks:
            task.write(self.theirs)
        text = self.write_long_text(transformers.PreTrainedTokenizerFast(tokenizer_file=str(tokenizer)), texts)
        write_task(self.theirs, TEXT, [{"text": text}], "loglikelihood_rolling", ["bits_per_byte"], ("", None, "text"))

    def write_long_text(self, tokenizer, texts):
        """Joins texts into one whose tokens fill whole windows, and writes them as a shard. The end-of-text token comes
        first, because lm-evaluation-harness puts it before every text."""
        ids = tokenizer(" ".join(texts), add_special_tokens=False).input_ids
        for windows in range(min(WINDOWS, len(ids) // T), 0, -1):
            text = tokenizer.decode(ids[: windows * T])
            if tokenizer(text, add_special_tokens=False).input_ids == ids[: windows * T]:
                write_shard(self.folder / "long_text.bin", [tokenizer.convert_tokens_to_ids(END), *ids[: windows * T]])
                return text
        sys.exit("the tasks have too little text")

    def expect(self, holds, what):
        if not holds:
            self.failures.append(what)

    def train(self, name):
        _, model, router = CASES[name]
        index = MODELS.index(name)
        config, run, out = (self.folder / f"{kind}_{index}" for kind in ("config", "run", "hf"))
        config.write_text(json.dumps(run_config(self.folder, model, router, 2048, self.options.steps)))
        run_program(self.program, "train", config, "--out", run)
        run_program(self.program, "export", run, "--out", out)
        return run, out

    def our_scores(self, run):
        """By task: the scores, and the log-likelihoods of every example."""
        scores, samples, out = self.folder / "scores.json", self.folder / "samples.jsonl", {}
        for task in self.tasks:
            run_program(self.program, "eval", run, "--task", task.path, "--limit", self.options.limit, "--delimiter",
                       task.delimiter, "--json", scores, "--samples", samples)
            found = json.loads(scores.read_text())["tasks"][0]
            lines = [json.loads(line) for line in samples.read_text().splitlines()]
            out[task.name] = found, [line.get("log_likelihoods") or [line["log_likelihood"]] for line in lines]
        run_program(self.program, "eval", run, "--data", self.folder / "long_text.bin", "--json", scores)
        (text,) = json.loads(scores.read_text())["texts"]
        return out | {TEXT: (text, [[-text["loss"] * text["tokens"]]])}

    def their_scores(self, out):
        model = HFLM(pretrained=str(out), tokenizer=str(out), device="cpu", dtype="float32", batch_size=16,
                     trust_remote_code=True)
        names = [task.name for task in self.tasks] + [TEXT]
        found = lm_eval.simple_evaluate(
            model=model, tasks=names, bootstrap_iters=0, log_samples=True,
            task_manager=TaskManager(include_path=str(self.theirs), include_defaults=False))
        scores = {}
        for name in names:
            samples = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
            values = [[result[0] for result in sample["resps"]] for sample in samples]
            likelihoods = [[value[0] if isinstance(value, (list, tuple)) else value for value in row] for row in values]
            metrics = {key.split(",")[0]: value for key, value in found["results"][name].items()}
            scores[name] = metrics, likelihoods
        return scores

    def compare(self, name):
        """Two rows of the table."""
        run, out = self.train(name)
        ours, theirs = self.our_scores(run), self.their_scores(out)
        rows, largest = ([name, "gptmoe eval"], ["", "lm_eval"]), 0.0
        for task, kind in [*((task.name, task.kind) for task in self.tasks), (TEXT, "loglikelihood_rolling")]:
            (our_metrics, our_values), (their_metrics, their_values) = ours[task], theirs[task]
            self.expect([len(row) for row in our_values] == [len(row) for row in their_values], f"{name}: {task}: candidates")
            for one, other in zip(sum(our_values, []), sum(their_values, [])):
                largest = max(largest, abs(one / other - 1))
            for metric in METRICS[kind]:
                pair = [f"{metrics[metric]:.4f}" if metrics[metric] < 1e4 else f"{metrics[metric]:.4e}"
                        for metrics in (our_metrics, their_metrics)]
                self.expect(pair[0] == pair[1], f"{name}: {task}: {metric} {' and '.join(pair)}")
                for row, cell in zip(rows, pair):
                    row.append(cell)
        self.expect(largest <= 1e-4, f"{name}: a log-likelihood differs by {largest:.1e}")
        rows[0].append(f"{largest:.0e}")
        rows[1].append("")
        return rows

    def head(self):
        columns = [f"{task.name} {metric}" for task in self.tasks for metric in METRICS[task.kind]]
        return ["model", "program", *columns, f"{TEXT}, bits/byte", "largest difference in log-likelihood"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", required=True, help="files of tasks")
    parser.add_argument("--gptmoe", default="build/gptmoe", help="the program; gptmoe-tokenize is beside it")
    parser.add_argument("--limit", type=int, default=200, help="examples of each task (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=150, help="training steps of each model (default: %(default)s)")
    parser.add_argument("--only", help="models to check, separated by semicolons")
    parser.add_argument("--keep", help="a new folder for all files (default: a temporary one)")
    options = parser.parse_args()
    names = chosen_names(parser, options.only, MODELS)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary).absolute()
        folder.mkdir(exist_ok=True)
        os.environ["HF_HOME"] = str(folder / "cache")
        check = Check(options, folder)
        print(f"lm_eval {lm_eval.__version__}, transformers {transformers.__version__}; {options.limit} examples of each "
              f"task\n\n| {' | '.join(check.head())} |\n{'|---' * len(check.head())}|", flush=True)
        for name in names:
            for row in check.compare(name):
                print("| " + " | ".join(row) + " |", flush=True)
        for failure in check.failures:
            print("DIFFERS:", failure)
        print(f"\n{len(names)} models, {len(check.failures)} differences")
        return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
