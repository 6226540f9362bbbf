#!/usr/bin/env python3
"""Writes layouts.json and ranks.tiktoken beside this file: a tokenizer in every layout, with reference encodings.

"layouts" are made with the library; "published" has the files of well-known models, key by key. The references are
Hugging Face's `tokenizers` for tokenizer.json files and `tiktoken` for rank files.

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

# Not part of the training text.
PUBLISHED_TEXTS = [
    "".join("%sx" % (" " * n) for n in range(1, 60)),
    "\n" + " " * 25 + "\n" + " " * 24,
    "<|padding|>|||IP_ADDRESS||| |||EMAIL_ADDRESS|||the",
    '<think>a river</think><tool_call>{"a": 1}</tool_call><|im_start|>',
    "<|extra_id_0|><|extra_id_1|> <|begin_of_text|><|eot_id|>",
    "\U00011935\U00011930 \u07f3\u07fd e\u1abf\u0301",
    "\U0010ffff\U00100000\U000f0000\u00c0\u00f5\u00ff\u07ff",
]

VOCAB_SIZE = 560
# GPT-NeoX-20B and the first OLMo have no tokens for the bytes that UTF-8 never uses.
NOT_IN_UTF8 = [0xC0, 0xC1, *range(0xF5, 0x100)]


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


def added(first_id, contents, **options):
    fields = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": first_id + i, "content": text, **fields, **options} for i, text in enumerate(contents)]


def byte_level(prefix, offsets, **options):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": offsets, **options}


def split_file(pattern, behavior, invert, offsets):
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}
    return {"type": "Sequence", "pretokenizers": [split, byte_level(False, offsets, use_regex=False)]}


def published(model):
    """The files of well-known models, key by key, with the shared small vocabulary in place of theirs.

    `first` and `last` are entries of model.vocab before and after the shared ones.
    """
    size = len(model["vocab"])
    neox_size = size - len(NOT_IN_UTF8) + 2
    runs = [" " * n for n in range(24, 1, -1)]
    plain = {"dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    empty = {"dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": ""}
    old = byte_level(False, True)
    newer = byte_level(False, True, use_regex=True)
    olmo_last = [*runs, "|||EMAIL_ADDRESS|||", "|||PHONE_NUMBER|||", "<|endoftext|>"]
    extra = ["<|extra_id_0|>", "<|endoftext|>", "<|fim_prefix|>", "<|extra_id_1|>", "<|endofprompt|>", "<|pad|>"]
    begin = {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}
    a, b = ({"Sequence": {"id": id, "type_id": type_id}} for id, type_id in (("A", 0), ("B", 1)))
    llama_template = {
        "type": "TemplateProcessing",
        "single": [begin, a],
        "pair": [begin, a, {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 1}}, b],
        "special_tokens": {
            "<|begin_of_text|>": {"id": "<|begin_of_text|>", "ids": [size], "tokens": ["<|begin_of_text|>"]}
        },
    }

    def file(added_tokens, normalizer, pre_tokenizer, post_processor, decoder, options, first=(), last=(), utf8=False):
        head = {"version": "1.0", "truncation": None, "padding": None}
        parts = {"added_tokens": added_tokens, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer}
        parts = {**head, **parts, "post_processor": post_processor, "decoder": decoder}
        return {"parts": parts, "model_options": options, "first": first, "last": last, "only_utf8": utf8}

    return {
        "gpt2": file(
            added(size, ["<|endoftext|>"], normalized=True),
            None,
            old,
            byte_level(True, False),
            byte_level(True, True),
            {**empty, "fuse_unk": False},
            last=["<|endoftext|>"],
        ),
        "gpt-neox-20b": file(
            added(0, ["<|endoftext|>", "<|padding|>"]) + added(neox_size, runs, normalized=True, special=False),
            {"type": "NFC"},
            old,
            old,
            old,
            {"type": "BPE", **plain, "fuse_unk": False},
            first=["<|endoftext|>", "<|padding|>"],
            utf8=True,
        ),
        "olmo-1b, olmo-7b, olmoe": file(
            added(0, ["|||IP_ADDRESS|||"], normalized=True, special=False)
            + added(1, ["<|padding|>"])
            + added(neox_size, olmo_last[:-1], normalized=True, special=False)
            + added(neox_size + len(olmo_last) - 1, ["<|endoftext|>"]),
            {"type": "NFC"},
            newer,
            newer,
            newer,
            {"type": "BPE", **plain, "fuse_unk": False, "byte_fallback": False},
            first=["|||IP_ADDRESS|||", "<|padding|>"],
            last=olmo_last,
            utf8=True,
        ),
        "olmo-2, olmo-3": file(
            added(size, extra[:1], special=False)
            + added(size + 1, extra[1:3])
            + added(size + 3, extra[3:4], special=False)
            + added(size + 4, extra[4:]),
            None,
            split_file(LLAMA3, "Removed", True, True),
            None,
            byte_level(True, True, use_regex=True),
            {"type": "BPE", **empty, "fuse_unk": False, "byte_fallback": False},
            last=extra,
        ),
        "llama-3": file(
            added(size, ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|eot_id|>"]),
            None,
            split_file(LLAMA3, "Isolated", False, True),
            {"type": "Sequence", "processors": [byte_level(True, False, use_regex=True), llama_template]},
            byte_level(True, True, use_regex=True),
            {"type": "BPE", **plain, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True},
        ),
        "qwen2, qwen3": file(
            added(size, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
            + added(size + 3, ["<tool_call>", "</tool_call>", "<think>", "</think>"], special=False),
            {"type": "NFC"},
            split_file(QWEN2, "Isolated", False, False),
            byte_level(False, False, use_regex=False),
            byte_level(False, False, use_regex=False),
            {"type": "BPE", **empty, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False},
        ),
    }


def whole_file(layout, model):
    names = {byte_names()[byte] for byte in NOT_IN_UTF8} if layout["only_utf8"] else set()
    tokens = [token for token in sorted(model["vocab"], key=model["vocab"].get) if token not in names]
    vocab = {token: id for id, token in enumerate([*layout["first"], *tokens, *layout["last"]])}
    merges = [" ".join(merge) for merge in model["merges"]]
    return {**layout["parts"], "model": {**layout["model_options"], "vocab": vocab, "merges": merges}}


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

    published_texts = MORE_TEXTS + PUBLISHED_TEXTS
    files = []
    for name, layout in published(model).items():
        tokenizer = Tokenizer.from_str(json.dumps(whole_file(layout, model)))
        tokenizer.encode_special_tokens = True
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in published_texts]
        end = tokenizer.token_to_id("<|endoftext|>") or tokenizer.token_to_id("<|end_of_text|>") or 0
        files.append(compact({"name": name, **layout, "end_of_text": end, "ids": ids}))

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
        '{"texts": %s,\n"model": %s,\n"layouts": [\n%s\n],\n"published_texts": %s,\n"published": [\n%s\n],\n"rank_files": [\n%s\n]}\n'
        % (compact(texts), compact(model), ",\n".join(entries), compact(published_texts), ",\n".join(files), ",\n".join(ranked))
    )


def byte_names():
    """Returns GPT-2's characters for the bytes 0 to 255."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(rest)) for byte in range(256)]


if __name__ == "__main__":
    main()
