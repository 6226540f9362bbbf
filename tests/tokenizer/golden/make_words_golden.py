#!/usr/bin/env python3
"""Writes words.json: how Hugging Face `tokenizers` and the package `regex` split tricky texts by each pattern.

    python3 tests/tokenizer/golden/make_words_golden.py     # needs tokenizers, regex
"""
import json
import pathlib
import random

import regex
from tokenizers import Regex, pre_tokenizers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)


def split_by(pattern):
    splitter = pre_tokenizers.Split(Regex(pattern), "isolated")
    return lambda text: [word for word, _ in splitter.pre_tokenize_str(text)]


CUTTERS = {
    "gpt2": split_by(GPT2),
    "llama3": split_by(LLAMA3),
    "qwen2": split_by(LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")),
    # The engine of `tokenizers` reads the possessive quantifier {1,3}+ differently, so this uses `regex`.
    "cl100k": lambda text: regex.findall(CL100K, text),
}

TEXTS = [
    "it's IT'S we'LL I'Ve don't DON'T 'tis o'clock rock'n'roll ''s '\u017f it'\u017fabc '\u017fs 'S's",
    "1 12 123 1234 1234567 3.14 1,000,000 x1y22z333 \u0661\u0662\u0663\u0664 \u00bd\u2167",
    "a  b   c\n d\n\n e \n\n f\r\ng\r\r\nh\t\ti \t j\u00a0k \u00a0l \u3000\u3000m\u2028\u2028n",
    "end   ", "end \n", "end\n  ", "end \n  ", "\n", " ", "  ", "\r\n \n\t", " \n \n x", "\n\n\nx", "\t\tx", " \tx",
    "!!\r\n\n x", "?!\n", "(a) [b] {c} -- -x- #tag @me $5 50% a_b __init__ => == x+=1;\n\n\treturn x;\n}\n",
    "\u0301abc e\u0301 \u0301 !\u0301a \u200bx \u200b x", "Gr\u00f6\u00dfe \u041f\u0448\u0435\u043d\u0438\u0446\u0430 \u5c0f\u9ea6 "
    "\u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea \u0e44\u0e17\u0e22 \ud55c\uad6d\uc5b4",
    "a\U0001F600!\U0001F468\u200d\U0001F469\u200d\U0001F467 \U0001F1E9\U0001F1EA\n", "'", "''", "'l", "'r", "'ve", "'LL",
    "x'", "\u2019s", "https://example.org/a?b=c&d=1#e", "\x00\x01\x7f a\x1cb", "\x85x \x85 y\x0b\x0cz",
]


def random_text(source):
    alphabet = list("ab'sStTdDlLrReEvVmM01239   \n\n\r\t.,!-_\u00a0\u017f\u00e9\u4e2d\u0301\u0663\u3000\U0001F600")
    return "".join(source.choice(alphabet) for _ in range(source.randint(1, 24)))


def main():
    source = random.Random(7)
    texts = TEXTS + [random_text(source) for _ in range(150)]
    cases = [{"text": text, **{name: cut(text) for name, cut in CUTTERS.items()}} for text in texts]
    for case in cases:
        for name in CUTTERS:
            assert "".join(case[name]) == case["text"], (name, case)
    lines = ",\n".join(json.dumps(case) for case in cases)
    pathlib.Path(__file__).with_name("words.json").write_text("[\n" + lines + "\n]\n")


if __name__ == "__main__":
    main()
