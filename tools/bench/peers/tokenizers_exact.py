#!/usr/bin/env python3
"""Compares gptmoe-tokenize with Hugging Face `tokenizers` and tiktoken, id for id.

    python3 tokenizers_exact.py --gpt2 FOLDER --corpus 'corpus/*.jsonl.zst' --eval 'eval/**/*.jsonl' 'eval/**/*.csv'

FOLDER holds GPT-2's vocab.json and merges.txt. Compares every document of the corpus, the evaluation sets (every string
in a .jsonl, every line of other files) and --strings generated strings (random Unicode, combining marks, emoji, CJK,
Arabic, control characters, long runs of one character, contractions, numbers, mixed newlines): once with GPT-2's files,
once with a vocabulary of --vocab-size entries that gptmoe-tokenize trains on the corpus, splitting as Llama-3 does.
Bytes that are not valid UTF-8, which the others do not accept, must come back from encode and decode unchanged. Exit
status 1 if anything differs.
"""
import argparse
import glob
import json
import os
import random
import sys
import tempfile

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
import tokenizer_peers as peers

RANGES = [(0x00, 0x20), (0x20, 0x7F), (0x7F, 0xA1), (0xA1, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700),
          (0x900, 0xE80), (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2070), (0x20D0, 0x2190), (0x2460, 0x2500),
          (0x3000, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xD7F0, 0xD800), (0xE000, 0xE010), (0xFE00, 0x10000),
          (0x10000, 0x10400), (0x1D400, 0x1D800), (0x1F300, 0x1FB00), (0x20000, 0x20100), (0x10FFF0, 0x110000)]
PIECES = ["'s", "'S", "'t", "'re", "'VE", "'ll", "'d", "'M", "don't", "I'm", " the", " The", "THE", "ing",
          "\r\n", "\n\n", "\n", "\r", "\t", "  ", "    ", " ",
          "\u00a0", "\u3000", "\u2028", "\u200b", "\u200d", "\ufe0f", "123",
          "4567890", "3.14", "1,000", " 2024", "\u0661\u0662", "\u00bd", "...", "!!!", "?!", " (", ")", "\"", "_", "--",
          "://", "e\u0301", "\u0301", "\u1100\u1161", "\U0001F468\u200d\U0001F469", "\U0001F1E9\U0001F1EA", "\ufffd",
          peers.END_OF_TEXT, "<|", "|>", "\x00", "\x1b[0m", "\u017f", "\u212a", "\u0130", "\ufb01"]
RUNS = ["a", " ", "\n", "=", "0", "\u4e2d", "'", "\U0001F600", "e\u0301"]


def random_string(source):
    kind = source.random()
    if kind < 0.02:
        return source.choice(RUNS) * source.randint(1, 400)
    parts = []
    for _ in range(source.randint(1, 12)):
        if source.random() < 0.6:
            parts.append(source.choice(PIECES))
        else:
            first, last = source.choice(RANGES)
            parts.append("".join(chr(source.randrange(first, last)) for _ in range(source.randint(1, 6))))
    return "".join(parts)


def strings_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings_in(part)


def eval_strings(patterns):
    for pattern in patterns:
        for path in sorted(glob.glob(pattern, recursive=True)):
            with peers.open_text(path) as file:
                for line in file:
                    yield from strings_in(json.loads(line)) if ".jsonl" in path else [line]


def batches(items, size):
    batch = []
    for item in items:
        if item:
            batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def compare(name, documents, tool, tokenizer_path, face, tik, scratch):
    compared = differing = 0
    for batch in batches(documents, 20000):
        path, folder = os.path.join(scratch, "batch.jsonl"), os.path.join(scratch, f"shards-{name}-{compared}")
        peers.write_documents(path, batch)
        peers.run(tool, "encode", "--tokenizer", tokenizer_path, "--input", path, "--output", folder)
        ours, count = peers.read_shards(folder, face.token_to_id(peers.END_OF_TEXT))
        assert count == len(batch), (count, len(batch))
        by_face = face.encode_batch_fast(batch, add_special_tokens=False)
        by_tik = tik.encode_ordinary_batch(batch)
        for document, mine, his, its in zip(batch, ours, by_face, by_tik):
            compared += 1
            mine = mine.tolist()
            if mine != his.ids or mine != its:
                differing += 1
                if differing <= 5:
                    print(f"{name}: {document[:200]!r}\n  gptmoe    {mine[:40]}\n  tokenizers {his.ids[:40]}\n"
                          f"  tiktoken  {its[:40]}")
    print(f"{name}: {compared:,} compared with tokenizers and tiktoken, {differing} differ", flush=True)
    return differing


def round_trip(tool, tokenizer_path, size, scratch):
    """Checks that encode and decode return arbitrary bytes unchanged, including bytes that are nearly UTF-8."""
    source = random.Random(5)
    lead = [b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xff\xfe", b"\x80", b"\xc0\xaf", b" the", b"\n"]
    data = b"".join(source.choice(lead) if source.random() < 0.5 else source.randbytes(3) for _ in range(size // 3))
    path, folder = os.path.join(scratch, "bytes.txt"), os.path.join(scratch, "shards-bytes")
    with open(path, "wb") as file:
        file.write(data)
    peers.run(tool, "encode", "--tokenizer", tokenizer_path, "--input", path, "--output", folder)
    text = peers.run(tool, "decode", "--tokenizer", tokenizer_path, *sorted(glob.glob(folder + "/train_*.bin"))).stdout
    same = text == data + peers.END_OF_TEXT.encode()
    print(f"arbitrary bytes: {len(data):,}, {'come back unchanged' if same else 'DIFFER after encode and decode'}")
    return 0 if same else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpt2", required=True)
    parser.add_argument("--corpus", nargs="+", required=True)
    parser.add_argument("--eval", nargs="*", default=[])
    parser.add_argument("--strings", type=int, default=1_000_000)
    parser.add_argument("--vocab-size", type=int, default=32000)
    parser.add_argument("--tool", default=peers.TOOL)
    options = parser.parse_args()

    differing = 0
    with tempfile.TemporaryDirectory() as scratch:
        trained = os.path.join(scratch, "llama3.json")
        inputs = [part for pattern in options.corpus for part in ("--input", pattern)]
        peers.run(options.tool, "train", *inputs, "--vocab-size", options.vocab_size, "--pattern", "llama3",
                  "--output", trained)
        for name, path, (face, tik) in (
                ("gpt2", options.gpt2, peers.gpt2_tokenizers(options.gpt2)),
                ("llama3", trained, peers.trained_tokenizers(trained, peers.LLAMA3_PATTERN))):
            source = random.Random(11)
            strings = (random_string(source) for _ in range(options.strings))
            sets = {"corpus": peers.documents_of(options.corpus), "evaluation": eval_strings(options.eval),
                    "strings": strings}
            for kind, documents in sets.items():
                differing += compare(f"{name}-{kind}", documents, options.tool, path, face, tik, scratch)
        differing += round_trip(options.tool, trained, 10_000_000, scratch)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
