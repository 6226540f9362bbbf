#!/usr/bin/env python3
"""Times encoding with gptmoe-tokenize, tiktoken and Hugging Face `tokenizers` in turn. Prints a Markdown table.

    python3 tokenizers_speed.py --gpt2 FOLDER --corpus corpus/train-00.jsonl.zst [--rounds 3] [--threads 1,2]

FOLDER holds GPT-2's vocab.json and merges.txt. All encode the same documents. Ours is timed as a whole process: start,
tokenizer files, decompression, JSON, encoding, shards flushed to the disk. It reads the documents in several forms:
plain JSON lines, .json.gz, Parquet (converted by tools/parquet_to_jsonl.py, whose time counts too) and the files as
given. All forms must give the same shards. The others get the documents in memory and are timed for encoding alone,
each by its fastest call: tiktoken's encode_ordinary_batch, and encode_batch_fast, which omits offsets. MB/s are 10^6
bytes of text per second.
"""
import argparse
import filecmp
import glob
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import pyarrow
import pyarrow.parquet

import tokenizer_peers as peers

CONVERT = os.path.join(peers.HERE, "../../parquet_to_jsonl.py")
OURS = "gptmoe-tokenize encode, {}"
PARQUET_ROWS = 1000  # rows in a group, as large corpora have them


def write_forms(folder, documents):
    """Writes the documents in each form. Returns the files by the form's name."""
    files = {form: os.path.join(folder, f"corpus{form}") for form in (".jsonl", ".json.gz", ".parquet")}
    peers.write_documents(files[".jsonl"], documents)
    with open(files[".jsonl"], "rb") as plain, gzip.open(files[".json.gz"], "wb") as packed:
        shutil.copyfileobj(plain, packed)
    pyarrow.parquet.write_table(pyarrow.table({"text": documents}), files[".parquet"], row_group_size=PARQUET_ROWS)
    return files


def time_tool(options, inputs, threads, folder):
    """Seconds that gptmoe-tokenize takes to write the inputs' shards to folder/shards."""
    command = [options.tool, "encode", "--tokenizer", options.gpt2, "--threads", threads, "--output",
               os.path.join(folder, "shards")]
    begin = time.perf_counter()
    if inputs[0].endswith(".parquet"):
        converted = os.path.join(folder, "converted")
        peers.run(sys.executable, CONVERT, *inputs, "--out", converted, "--jobs", threads)
        inputs = [converted]
    peers.run(*command, *(part for pattern in inputs for part in ("--input", pattern)))
    return time.perf_counter() - begin


def same_shards(folder, other):
    """Whether the two runs' shards are equal, byte for byte."""
    folders = [os.path.join(run, "shards") for run in (folder, other)]
    names, others = (sorted(glob.glob("*.bin", root_dir=shards)) for shards in folders)
    return names == others == filecmp.cmpfiles(*folders, names, shallow=False)[0]


def time_peer(options, name, threads):
    """Runs a peer in its own process, since both read their number of threads when they start."""
    command = [sys.executable, os.path.abspath(__file__), "--gpt2", options.gpt2, "--corpus", *options.corpus,
               "--peer", name, "--threads", threads]
    environment = {**os.environ, "RAYON_NUM_THREADS": threads,
                   "TOKENIZERS_PARALLELISM": "true" if threads != "1" else "false"}
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
        documents = list(peers.documents_of(options.corpus))
        size = sum(len(document.encode()) for document in documents) / 1e6
        forms = {form: [path] for form, path in write_forms(scratch, documents).items()}
        forms["as given"] = options.corpus
        for run in range(options.rounds):
            for threads in options.threads.split(","):
                folders = []
                for form, inputs in forms.items():
                    folders.append(os.path.join(scratch, f"{len(folders)}"))
                    seconds = time_tool(options, inputs, threads, folders[-1])
                    rates.setdefault((OURS.format(form), threads), []).append(size / seconds)
                    if not same_shards(folders[0], folders[-1]):
                        sys.exit(f"the shards of '{form}' differ from those of .jsonl")
                for folder in folders:
                    shutil.rmtree(folder)
                for name in ("tiktoken", "tokenizers"):
                    rates.setdefault((name, threads), []).append(time_peer(options, name, threads))
        # One repeated character, a single word of 10 MB.
        repeated = os.path.join(scratch, "repeated.txt")
        with open(repeated, "w") as file:
            file.write("a" * 10_000_000)
        for run in range(options.rounds):
            seconds = time_tool(options, [repeated], "1", os.path.join(scratch, f"repeated-{run}"))
            rates.setdefault((OURS.format("10 MB of one letter"), "1"), []).append(10 / seconds)

    print("| program | threads | MB/s, median (lowest to highest) | gptmoe / program |")
    print("|---|---|---|---|")
    medians = {setting: statistics.median(values) for setting, values in rates.items()}
    for (name, threads), median in medians.items():
        values = rates[(name, threads)]
        ratio = medians[(OURS.format(".jsonl"), threads)] / median
        print(f"| {name} | {threads} | {median:,.1f} ({min(values):,.1f} to {max(values):,.1f}) | {ratio:.2f} |")


if __name__ == "__main__":
    main()
