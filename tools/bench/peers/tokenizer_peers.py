"""Shared by the tokenizer scripts here: the peers' tokenizers, built from local files only."""
import bz2
import glob
import gzip
import io
import json
import os
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = os.path.join(HERE, "../../../build/gptmoe-tokenize")
END_OF_TEXT = "<|endoftext|>"

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr.decode()}")
    return done


def byte_names():
    """GPT-2's printable names of the 256 bytes."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    names, extra = {}, 0
    for byte in range(256):
        if byte in plain:
            names[chr(byte)] = byte
        else:
            names[chr(0x100 + extra)] = byte
            extra += 1
    return names


def ranks_of(vocabulary, added):
    names = byte_names()
    return {bytes(names[c] for c in token): rank for token, rank in vocabulary.items() if token not in added}


def gpt2_tokenizers(folder):
    """(Hugging Face tokenizer, tiktoken encoding), from GPT-2's vocab.json and merges.txt."""
    import tiktoken
    from tokenizers import Tokenizer, models, pre_tokenizers

    with open(os.path.join(folder, "vocab.json")) as file:
        vocabulary = json.load(file)
    with open(os.path.join(folder, "merges.txt")) as file:
        merges = [tuple(line.split()) for line in file.read().split("\n") if line and not line.startswith("#version")]
    face = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    face.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    face.add_special_tokens([END_OF_TEXT])
    face.encode_special_tokens = True
    tik = tiktoken.Encoding("gpt2", pat_str=GPT2_PATTERN, mergeable_ranks=ranks_of(vocabulary, {END_OF_TEXT}),
                            special_tokens={END_OF_TEXT: vocabulary[END_OF_TEXT]})
    return face, tik


def trained_tokenizers(path, pattern):
    """(Hugging Face tokenizer, tiktoken encoding), from a tokenizer.json that gptmoe-tokenize trained."""
    import tiktoken
    from tokenizers import Tokenizer

    face = Tokenizer.from_file(path)
    face.encode_special_tokens = True
    with open(path) as file:
        model = json.load(file)
    added = {token["content"]: token["id"] for token in model["added_tokens"]}
    tik = tiktoken.Encoding("trained", pat_str=pattern, mergeable_ranks=ranks_of(model["model"]["vocab"], added),
                            special_tokens=added)
    return face, tik


def open_text(path):
    if path.endswith(".zst"):
        return io.TextIOWrapper(io.BytesIO(run("zstd", "-dcq", path).stdout), encoding="utf-8", newline="\n")
    if path.endswith(".bz2"):
        return bz2.open(path, "rt", encoding="utf-8", newline="\n")
    if path.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return open(path, encoding="utf-8", newline="\n")


def documents_of(patterns, field="text"):
    """Every document of .jsonl(.gz, .zst) files."""
    for pattern in patterns:
        paths = sorted(glob.glob(pattern))
        if not paths:
            sys.exit(f"{pattern}: no such file")
        for path in paths:
            with open_text(path) as file:
                for line in file:
                    if line.strip():
                        yield json.loads(line)[field]


def write_documents(path, documents):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for document in documents:
            file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")


def read_shards(folder, end_of_text):
    """Token ids by document."""
    parts = []
    for path in sorted(glob.glob(os.path.join(folder, "train_*.bin"))):
        header = np.fromfile(path, dtype=np.int32, count=256)
        parts.append(np.fromfile(path, dtype=np.uint16 if header[1] == 1 else np.uint32, offset=1024))
        assert parts[-1].size == header[2], path
    ids = np.concatenate(parts)
    ends = np.flatnonzero(ids == end_of_text)
    assert ends.size and ends[-1] == ids.size - 1, "a document without its end"
    return [document[:-1] for document in np.split(ids, ends[:-1] + 1)], ends.size
