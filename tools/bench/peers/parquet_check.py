#!/usr/bin/env python3
"""Checks tools/parquet_to_jsonl.py: texts in Parquet and Arrow files give the ids of the same texts in JSON lines.

    python3 -m venv venv && venv/bin/pip install pyarrow numpy
    venv/bin/python tools/bench/peers/parquet_check.py

Makes files like FineWeb's (several columns, row groups, nulls, dictionary and large_string columns, zstd and snappy) and
like those that `datasets` saves, with --rows texts each, converts them, encodes both forms with gptmoe-tokenize and
compares the shards. Also stops and kills conversions and continues them, and expects one line for damaged files. Prints
the speed of the conversion; exit status 1 if anything differs.
"""
import argparse
import glob
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import pyarrow
import pyarrow.feather
import pyarrow.parquet

import tokenizer_peers as peers

CONVERT = os.path.join(peers.HERE, "../../parquet_to_jsonl.py")
PIECES = ["the river ", "ran on. ", "\u4e2d\u6587 ", "caf\u00e9 ", "\U0001F600 ", "\n\n", "\"quoted\" ", "back\\slash ",
          "\u2028", "\x00", "tab\t", "1234 ", "<|endoftext|>", "\u0301"]


def texts_of(source, rows):
    """Random texts with a few nulls and empty ones among them."""
    for _ in range(rows):
        kind = source.random()
        yield None if kind < 0.01 else "" if kind < 0.02 else "".join(source.choices(PIECES, k=source.randint(1, 800)))


def convert(*arguments):
    return subprocess.run([sys.executable, CONVERT, *map(str, arguments)], capture_output=True, text=True)


def expect(condition, what):
    print(f"{'ok' if condition else 'FAILED'}: {what}", flush=True)
    expect.failed |= not condition


expect.failed = False


def make_files(folder, rows):
    """Writes the same kinds of texts in every form; returns the texts in the order of the files' names."""
    source, texts = random.Random(3), []
    forms = [("a.parquet", pyarrow.string(), "zstd"), ("b.parquet", pyarrow.large_string(), "snappy"),
             ("c.parquet", pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), "none")]
    os.makedirs(os.path.join(folder, "d_saved"))
    for name, kind, compression in forms:
        part = list(texts_of(source, rows))
        table = pyarrow.table({"id": [f"<urn:{i}>" for i in range(rows)],
                               "text": pyarrow.array(part, pyarrow.string()).cast(kind),
                               "score": [i / 7 for i in range(rows)]})
        pyarrow.parquet.write_table(table, os.path.join(folder, name), row_group_size=1000, compression=compression)
        texts += part
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    for i, name in enumerate([*names, "cache-0123.arrow"]):
        part = list(texts_of(source, rows))
        table = pyarrow.table({"text": part, "id": list(range(rows))})
        with pyarrow.ipc.new_stream(os.path.join(folder, "d_saved", name), table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
        texts += part if i < len(names) else []
    with open(os.path.join(folder, "d_saved", "state.json"), "w") as file:
        json.dump({"_data_files": [{"filename": name} for name in names]}, file)
    return texts


def shards(tool, tokenizer, inputs, output):
    peers.run(tool, "encode", "--tokenizer", tokenizer, "--input", inputs, "--output", output)
    return b"".join(open(path, "rb").read() for path in sorted(glob.glob(os.path.join(output, "train_*.bin"))))


def check_resume(folder, scratch):
    out = os.path.join(scratch, "stopped")
    command = [sys.executable, CONVERT, folder, "--out", out]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not glob.glob(out + "/*.zst"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    error = process.communicate()[1]
    expect(process.returncode == 130 and "run the same command again" in error, "a stop is one line")
    expect(not glob.glob(out + "/**/*.tmp", recursive=True), "a stop leaves no temporary file")
    first = {path: os.stat(path).st_mtime_ns for path in glob.glob(out + "/**/*.zst", recursive=True)}
    again = convert(folder, "--out", out)
    expect(again.returncode == 0 and "done already" in again.stdout, "the same command continues")
    expect(bool(first) and all(os.stat(path).st_mtime_ns == time for path, time in first.items()),
           "finished files are not converted again")
    return out


def check_refusals(folder, scratch):
    good = os.path.join(folder, "a.parquet")
    cut, text = os.path.join(scratch, "cut.parquet"), os.path.join(scratch, "x.csv")
    with open(good, "rb") as file, open(cut, "wb") as copy:
        copy.write(file.read()[:-100])
    with open(text, "w") as file:
        file.write("x")
    out = os.path.join(scratch, "refused")
    for what, arguments in (("no column \"body\"; it has id, text, score", [good, "--field", "body"]),
                            ("holds double, not text", [good, "--field", "score"]), ("cannot read", [cut]),
                            ("does not end in .parquet, .arrow or .feather", [text]), ("no such file", [scratch + "/none"]),
                            ("both would become", [good, folder])):
        done = convert(*arguments, "--out", out)
        expect(done.returncode == 2 and what in done.stderr and done.stderr.count("\n") == 1, f"refused: {what}")
    expect(not glob.glob(out + "/**/*.*", recursive=True), "refusals leave no file")
    first = os.path.join(scratch, "first.feather")
    with open(first, "wb") as file:
        file.write(b"FEA1" + bytes(100))
    expect("Feather of version 1" in convert(first, "--out", out).stderr, "refused: Feather of version 1")
    convert(good, "--out", out, "--field", "id")
    expect("holds another field" in convert(good, "--out", out).stderr, "refused: an output of another field")


def check_names(scratch):
    """Checks that endings in capital letters are read too, and that other files are named."""
    folder, out = os.path.join(scratch, "names"), os.path.join(scratch, "names_out")
    os.makedirs(folder)
    table = pyarrow.table({"text": ["one", "two"]})
    pyarrow.parquet.write_table(table, os.path.join(folder, "a.PARQUET"))
    pyarrow.feather.write_feather(table, os.path.join(folder, "b.feather"))
    with open(os.path.join(folder, "c.csv"), "w") as file:
        file.write("x")
    said = convert(folder, "--out", out).stdout
    expect("2 files, 4 texts" in said and f"1 file of another kind not read ({folder}/c.csv)" in said,
           "names in capitals and Feather are read, other files are named")


def start_and_wait(arguments, out):
    """Starts a conversion in a separate process group, and returns when an output has begun."""
    process = subprocess.Popen([sys.executable, CONVERT, *arguments], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not glob.glob(out + "/**/*.tmp", recursive=True):
        time.sleep(0.01)
    return process


def check_kills(scratch):
    path, out = os.path.join(scratch, "long.parquet"), os.path.join(scratch, "killed")
    text = "".join(PIECES) * 20
    pyarrow.parquet.write_table(pyarrow.table({"text": [text] * 60_000}), path)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = start_and_wait([path, "--out", out], out)
        process.send_signal(number)
        expect(process.wait() == 128 + number, f"signal {number} ends with 128 + {number}")
        expect(not glob.glob(out + "/*"), "and leaves no file")
    process = start_and_wait([path, "--out", out], out)
    process.kill()
    process.wait()
    left = glob.glob(out + "/*.tmp")
    expect(len(left) == 1 and f".{process.pid}." in left[0], "a temporary name holds the process")
    deadline = time.monotonic() + 5
    workers = True
    while workers and time.monotonic() < deadline:
        workers = subprocess.run(["pgrep", "-g", str(process.pid), "-f", "multiprocessing.spawn"],
                                 capture_output=True).returncode == 0
        time.sleep(0.1)
    expect(not workers, "workers of a killed parent end")
    again = convert(path, "--out", out)
    expect(again.returncode == 0 and [os.path.basename(file) for file in glob.glob(out + "/*")] ==
           ["long.jsonl.zst"], "the next run removes what it left")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--tool", default=peers.TOOL)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = os.path.join(scratch, "dataset")
        texts = make_files(folder, options.rows)
        direct = os.path.join(scratch, "direct.jsonl")
        with open(direct, "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts if text is not None)
        tokenizer = os.path.join(scratch, "tokenizer.json")
        peers.run(options.tool, "train", "--input", direct, "--vocab-size", 400, "--output", tokenizer)
        expected = shards(options.tool, tokenizer, direct, os.path.join(scratch, "direct"))

        begin = time.monotonic()
        done = convert(folder, "--out", os.path.join(scratch, "texts"), "--jobs", 2)
        seconds = time.monotonic() - begin
        size = os.path.getsize(direct)
        print(done.stdout, done.stderr, f"{size / 1e6 / seconds:.1f} MB of JSON lines a second with 2 jobs", sep="")
        nulls = sum(text is None for text in texts)
        expect(done.returncode == 0 and done.stderr == "", "the conversion succeeds, quiet in a pipe")
        expect(f"{nulls:,} rows without a text" in done.stdout, "nulls are counted")
        found = shards(options.tool, tokenizer, os.path.join(scratch, "texts"), os.path.join(scratch, "converted"))
        expect(found == expected, f"{len(texts):,} texts, {len(expected):,} bytes of shards are equal")
        stopped = shards(options.tool, tokenizer, check_resume(folder, scratch), os.path.join(scratch, "resumed"))
        expect(stopped == expected, "so are those of a conversion that was stopped")
        check_refusals(folder, scratch)
        check_names(scratch)
        check_kills(scratch)
    return expect.failed


if __name__ == "__main__":
    sys.exit(main())
