#!/usr/bin/env python3
"""Writes layouts.json and ranks.tiktoken beside this file: a tokenizer in every layout, with reference encodings.

The references are Hugging Face's `tokenizers` for tokenizer.json files and `tiktoken` for rank files.

Run once by hand; the tests need only the two files. All layouts share one small vocabulary. layouts.json holds
the shared model once. For each layout it holds what differs: the other parts of the layout's tokenizer.json ("parts")
and the other fields of its model ("model_options").
"""

import base64
import json
import pathlib
import random

import tiktoken
from make_tokenizer_golden import LESSON, TEXTS
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
R50K = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
OLDER_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]" r"|\s+(?!\S)|\s+"
)
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s+"
)
CL100K_FOR_ONIGURUMA = LLAMA3.replace(r"|\s*[\r\n]+", r"|\s++$|\s*[\r\n]+")

MORE_TEXTS = [
    "12345678 1234 12",
    "1\u00b23\u2167456",
    "IT'S It'll 'LL 'Re it'\u017f 'x",
    "x\n\n\n y",
    "  \n  \n",
    "a!\n\n b",
    "a \n \t ",
    "the\n\n",
    "the \n  ",
    "river\n  \n",
    "!!!\r\n\r\nok",
    "\tthe\n the",
    "(the)",
    "_the-river",
    "the  \n  river  ",
    "e\u0301e\u0323\u0301 Gro\u0308\u00dfe",
    "\u1112\u1161\u11ab\uac00\u11a8",
    "\u212b \ufb01 \u0958",
    "    def f():\n        return 42\n",
    "a  b   c    d",
    "\t \t",
    "<|endoftext|>the<|endoftext|>",
    "\u00e9!\u00e9! e\u0301!",
    "counted42counted",
    "\u3000\u3000the",
    " \u0301a",
    "a\u0301\u0301\u0301",
    "daughter's DAUGHTER'S daughterS",
]


VOCAB_SIZE = 560


def train():
    """Learns merges from unsplit text, so that merges reach across every pattern's splits and ids reveal the split."""
    random.seed(1)
    atoms = [
        "the",
        "river",
        "a",
        "Sacks",
        "1",
        "23",
        "4567",
        " ",
        " ",
        "  ",
        "\n",
        "\n",
        "\n  ",
        "\n  ",
        " \n",
        "\r\n",
        "\t",
        "'s",
        "'LL",
        "'t",
        "!",
        "...",
        "(",
        "_",
        "\u00e9",
        "\u5c0f",
        "'\u017f",
        "\u00b2",
    ]
    lines = ["".join(random.choices(atoms, k=12)) for _ in range(400)] + TEXTS + MORE_TEXTS + LESSON.split("\n") * 4
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(lines, trainer)
    return json.loads(tokenizer.to_str())["model"]


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior, invert),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def build(model, pre_tokenizer, normalizer=None, post_processor=None, added=(), whole_words=False):
    merges = [tuple(merge) for merge in model["merges"]]
    if whole_words:  # drops merges that no other merge needs, so that some tokens can only be whole words
        needed = {part for merge in merges for part in merge}
        merges = [merge for merge in merges if "".join(merge) in needed]
    tokenizer = Tokenizer(models.BPE(vocab=dict(model["vocab"]), merges=merges, ignore_merges=whole_words))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    if post_processor:
        tokenizer.post_processor = post_processor
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.add_tokens(list(added))
    tokenizer.encode_special_tokens = True
    return tokenizer


def layouts(model):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    runs = [AddedToken(" " * n, normalized=True) for n in (4, 3, 2)] + [AddedToken("\u00e9!", normalized=True)]
    template = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", VOCAB_SIZE)])
    llama_post = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return {
        "gpt2": build(model, byte_level, post_processor=processors.ByteLevel(trim_offsets=False)),
        "gpt2 in a Sequence": build(model, pre_tokenizers.Sequence([byte_level]), normalizers.Sequence([])),
        "gpt2 as a Split": build(model, split(GPT2)),
        "gpt2 as a Split of tiktoken's": build(model, split(R50K)),
        "gpt-neox": build(model, byte_level, normalizers.NFC(), template, runs),
        "llama3": build(model, split(LLAMA3), post_processor=llama_post, whole_words=True),
        "llama3 by gaps": build(model, split(LLAMA3, "removed", True)),
        "llama3 as tiktoken's older cl100k": build(model, split(OLDER_CL100K)),
        "olmo2": build(model, split(LLAMA3), post_processor=processors.ByteLevel(trim_offsets=False)),
        "qwen2": build(
            model,
            split(QWEN2),
            normalizers.NFC(),
            added=[AddedToken("<tool>", normalized=False), AddedToken("e <t", normalized=False)],
        ),
        "qwen2 with NFC in a Sequence": build(model, split(QWEN2), normalizers.Sequence([normalizers.NFC()])),
        "cl100k": build(model, split(CL100K_FOR_ONIGURUMA)),
    }


def compact(value):
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def main():
    texts = TEXTS + MORE_TEXTS + [LESSON]
    model = train()
    entries = []
    for name, tokenizer in layouts(model).items():
        parts = json.loads(tokenizer.to_str())
        options = parts.pop("model")
        del options["vocab"]
        if options["merges"] == model["merges"]:
            del options["merges"]
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        entries.append(compact({"name": name, "parts": parts, "model_options": options, "ids": ids}))

    byte_of = {char: byte for byte, char in enumerate(byte_names())}
    ranks = {bytes(byte_of[char] for char in token): rank for token, rank in model["vocab"].items()}
    lines = [
        "%s %d" % (base64.b64encode(token).decode(), rank) for token, rank in sorted(ranks.items(), key=lambda x: x[1])
    ]
    (HERE / "ranks.tiktoken").write_text("\n".join(lines) + "\n")
    ranked = []
    for name, pattern in [("gpt2", R50K), ("llama3", LLAMA3), ("cl100k", CL100K), ("qwen2", QWEN2)]:
        encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        ranked.append(compact({"pattern": name, "ids": [encoding.encode_ordinary(text) for text in texts]}))
    (HERE / "layouts.json").write_text(
        '{"texts": %s,\n"model": %s,\n"layouts": [\n%s\n],\n"rank_files": [\n%s\n]}\n'
        % (compact(texts), compact(model), ",\n".join(entries), ",\n".join(ranked))
    )


def byte_names():
    """Returns GPT-2's characters for the bytes 0 to 255."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(rest)) for byte in range(256)]


if __name__ == "__main__":
    main()
