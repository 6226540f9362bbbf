#!/usr/bin/env python3
"""Times encoding with gptmoe-tokenize, tiktoken and Hugging Face `tokenizers` in turn. Prints a Markdown table.

    python3 tokenizers_speed.py --gpt2 FOLDER --corpus corpus/train-00.jsonl.zst [--rounds 3] [--threads 1,2]

FOLDER holds GPT-2's vocab.json and merges.txt. All encode the same documents. Ours is timed as a whole process: start,
tokenizer files, decompression, JSON, encoding, shards flushed to the disk. The others get the documents in memory and
are timed for encoding alone, each by its fastest call: tiktoken's encode_ordinary_batch, and encode_batch_fast, which
omits offsets. MB/s are 10^6 bytes of text per second.
"""
import argparse
import glob
import os
import statistics
import subprocess
import sys
import tempfile
import time

import tokenizer_peers as peers


def time_tool(options, inputs, threads, scratch, run):
    command = [options.tool, "encode", "--tokenizer", options.gpt2, "--threads", str(threads), "--output",
               os.path.join(scratch, f"shards-{threads}-{run}")]
    for pattern in inputs:
        command += ["--input", pattern]
    begin = time.perf_counter()
    peers.run(*command)
    return time.perf_counter() - begin


def time_peer(options, name, threads):
    """Runs a peer in its own process, since both read their number of threads when they start."""
    command = [sys.executable, os.path.abspath(__file__), "--gpt2", options.gpt2, "--corpus", *options.corpus,
               "--peer", name, "--threads", str(threads)]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads),
                   "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false"}
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def peer_rate(options):
    face, tik = peers.gpt2_tokenizers(options.gpt2)
    documents = list(peers.documents_of(options.corpus))
    size = sum(len(document.encode()) for document in documents)
    begin = time.perf_counter()
    if options.peer == "tiktoken":
        tik.encode_ordinary_batch(documents, num_threads=int(options.threads))
    else:
        face.encode_batch_fast(documents, add_special_tokens=False)
    print(size / (time.perf_counter() - begin) / 1e6)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpt2", required=True)
    parser.add_argument("--corpus", nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--tool", default=peers.TOOL)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer_rate(options)

    rates = {}
    with tempfile.TemporaryDirectory() as scratch:
        plain = os.path.join(scratch, "corpus.jsonl")
        documents = list(peers.documents_of(options.corpus))
        size = sum(len(document.encode()) for document in documents) / 1e6
        peers.write_documents(plain, documents)
        kinds = (("gptmoe-tokenize encode, .jsonl", [plain]), ("gptmoe-tokenize encode, as given", options.corpus))
        for run in range(options.rounds):
            for threads in map(int, options.threads.split(",")):
                for name, inputs in kinds:
                    seconds = time_tool(options, inputs, threads, scratch, f"{name[-3:]}-{run}")
                    rates.setdefault((name, threads), []).append(size / seconds)
                for name in ("tiktoken", "tokenizers"):
                    rates.setdefault((name, threads), []).append(time_peer(options, name, threads))
        # One repeated character, a single word of 10 MB.
        repeated = os.path.join(scratch, "repeated.txt")
        with open(repeated, "w") as file:
            file.write("a" * 10_000_000)
        for run in range(options.rounds):
            seconds = time_tool(options, [repeated], 1, scratch, f"repeated-{run}")
            rates.setdefault(("gptmoe-tokenize encode, 10 MB of one letter", 1), []).append(10 / seconds)

    print("| program | threads | MB/s, median (lowest to highest) | gptmoe / program |")
    print("|---|---|---|---|")
    medians = {setting: statistics.median(values) for setting, values in rates.items()}
    for (name, threads), median in medians.items():
        values = rates[(name, threads)]
        ratio = medians[(kinds[0][0], threads)] / median
        print(f"| {name} | {threads} | {median:,.1f} ({min(values):,.1f} to {max(values):,.1f}) | {ratio:.2f} |")


if __name__ == "__main__":
    main()
