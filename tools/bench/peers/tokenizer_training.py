#!/usr/bin/env python3
"""Times tokenizer training with gptmoe-tokenize and Hugging Face `tokenizers` in turn. Prints a Markdown table.

    python3 tokenizer_training.py --text FILE.jsonl [--vocab-size 32000] [--rounds 3] [--threads 2] [--pattern gpt2]

Ours is timed as a whole process: start, JSON, counting, merging, tokenizer.json flushed to the disk. The peer gets the
documents in memory, and only train_from_iterator is timed; its memory is the peak minus what the process held before.
Both start from the same alphabet of bytes, with one special token, and merge pairs that occur at least twice. Exit
status 1 if their tokens or merges differ.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import tokenizer_peers as peers


def run_tool(options, output):
    command = [options.tool, "train", "--input", options.text, "--vocab-size", str(options.vocab_size), "--pattern",
               options.pattern, "--threads", str(options.threads), "--output", output]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    if status != 0:
        sys.exit(f"{' '.join(command)} failed")
    return {"seconds": seconds, "mib": usage.ru_maxrss / 1024}


def run_peer(options, output):
    """Runs the peer in its own process, since the peer reads its number of threads when it starts."""
    command = [sys.executable, os.path.abspath(__file__), "--text", options.text, "--vocab-size",
               str(options.vocab_size), "--pattern", options.pattern, "--peer", output]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "true"}
    return json.loads(peers.run(*command, env=environment).stdout)


def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def train_peer(options):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    if options.pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(peers.LLAMA3_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ])
    trainer = trainers.BpeTrainer(vocab_size=options.vocab_size, min_frequency=2, special_tokens=[peers.END_OF_TEXT],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    documents = list(peers.documents_of([options.text]))
    before = resident_mib()
    begin = time.perf_counter()
    tokenizer.train_from_iterator(documents, trainer)
    seconds = time.perf_counter() - begin
    tokenizer.save(options.peer)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mib": peak - before}))


def learnt(path):
    """The tokens in the order of their ids, without special ones, and the merges."""
    with open(path) as file:
        content = json.load(file)
    special = {token["content"] for token in content["added_tokens"]}
    vocabulary = content["model"]["vocab"]
    tokens = [token for token in sorted(vocabulary, key=vocabulary.get) if token not in special]
    merges = [merge if isinstance(merge, list) else merge.split(" ") for merge in content["model"]["merges"]]
    return {"tokens": tokens, "merges": merges}


def describe_difference(what, ours, theirs):
    if ours == theirs:
        print(f"{len(ours):,} {what}: identical")
        return False
    first = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    print(f"{what}: {len(ours):,} here, {len(theirs):,} there; the first that differ, at {first}: "
          f"{ours[first:first + 3]} and {theirs[first:first + 3]}")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", required=True)
    parser.add_argument("--vocab-size", type=int, default=32000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pattern", choices=("gpt2", "llama3"), default="gpt2")
    parser.add_argument("--tool", default=peers.TOOL)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        train_peer(options)
        return

    runs = {"gptmoe-tokenize train": [], "tokenizers": []}
    with tempfile.TemporaryDirectory() as scratch:
        ours, theirs = os.path.join(scratch, "ours.json"), os.path.join(scratch, "theirs.json")
        for _ in range(options.rounds):
            runs["gptmoe-tokenize train"].append(run_tool(options, ours))
            runs["tokenizers"].append(run_peer(options, theirs))
        here, there = learnt(ours), learnt(theirs)

    seconds = {name: statistics.median(run["seconds"] for run in rounds) for name, rounds in runs.items()}
    print("| program | threads | seconds, median (lowest to highest) | peak memory, MiB | program / gptmoe |")
    print("|---|---|---|---|---|")
    for name, rounds in runs.items():
        times = [run["seconds"] for run in rounds]
        print(f"| {name} | {options.threads} | {seconds[name]:.2f} ({min(times):.2f} to {max(times):.2f}) | "
              f"{max(run['mib'] for run in rounds):,.0f} | {seconds[name] / seconds['gptmoe-tokenize train']:.2f} |")
    differences = [describe_difference(what, here[what], there[what]) for what in here]
    sys.exit(1 if any(differences) else 0)


if __name__ == "__main__":
    main()
