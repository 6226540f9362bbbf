#!/usr/bin/env python3
"""Writes nfc.json beside this file: strings and their NFC. The reference is Hugging Face's `tokenizers`.

`unicodedata2` 16.0.0 names the characters that take part, which includes those that are newer than the reference. Run once by hand; the tests need only the file. `every` holds FNV-1a hashes over every code point, one after the other,
in a few contexts.
"""

import json
import pathlib
import random

import unicodedata2 as unicodedata
from tokenizers import normalizers

HERE = pathlib.Path(__file__).parent
nfc = normalizers.NFC().normalize_str

TEXTS = [
    "",
    "abc",
    "caf\u00e9",
    "cafe\u0301",
    "e\u0301\u0323",
    "e\u0323\u0301",
    "\u1e9b\u0323",
    "\u212b\u2126\u212a",
    "\u0344",
    "\u1100\u1161",
    "\u1100\u1161\u11a8",
    "\uac00\u11a8",
    "\uac01\u11a8",
    "\uac00\u11a7",
    "\u1161\u11a8",
    "a\u1100",
    "\u0958",
    "\u0915\u093c",
    "\u0f73",
    "\u0fb2\u0f80",
    "\u0fb2\u0f71\u0f80",
    "\ufb1d",
    "\uf900\U0002f800",
    "\u0301",
    "\u0301\u0323",
    "a\u0315\u0300\u05ae\u0300b",
    "o\u0302\u0301",
    "\u01a1\u0301\u0323",
    "\u0b47\u0b3e",
    "\u09c7\u09be\u0301",
    "x\u00e9\u0323y",
    "\U00016d67\U00016d67\U00016d67",
    "\U00016d69\U00016d68",
    "\U00011384\U000113bb",
    "\U0001d15e",
    "\u2add\u0338",
    "\u4e00\u0301",
    "the na\u00efve fa\u00e7ade \u2014 \u201cquoted\u201d\u2026",
    "\u041f\u0448\u0435\u043d\u0438\u0446\u0430",
    "\u0438\u0306\u0435\u0308",
    "\u304b\u3099\u30cf\u309a",
    "\u0627\u0653",
    "a" * 40 + "\u0301" + "b" * 40,
    "\u00e9" + "\u0323" * 40,
    "\u0301" * 30 + "\u0323" * 30,
    # Newer than Unicode 9.0.0.
    "\U00011935\U00011930",
    "\u07f3\u07fd",
    "\U00011938",
    "e\u0301\u1abf",
    "e\u1df6\u0323\u0301",
    "\U0001e4ec\u0323",
]


def pool():
    """Returns every character that takes part in normalization, and a few that do not."""
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
    parts = {
        part
        for char in points
        for part in unicodedata.normalize("NFD", char)
        if unicodedata.normalize("NFD", char) != char
    }
    active = [
        char
        for char in points
        if unicodedata.combining(char)
        or not 0xAC00 <= ord(char) < 0xD7A4
        and unicodedata.normalize("NFD", char) != char
    ]
    return sorted(parts | set(active)) + list("abc \n\u00e9\u2019") * 40 + [chr(0xAC00 + 7 * i) for i in range(1500)]


def every(prefix, suffix):
    value = 0xCBF29CE484222325
    for point in range(0x110000):
        if 0xD800 <= point <= 0xDFFF:
            continue
        for byte in nfc(prefix + chr(point) + suffix).encode():
            value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return {"prefix": prefix, "suffix": suffix, "hash": "%016x" % value}


def main():
    assert unicodedata.unidata_version == "16.0.0"
    random.seed(1)
    chars = pool()
    texts = TEXTS + ["".join(random.choices(chars, k=random.randrange(2, 8))) for _ in range(400)]
    lines = [json.dumps([text, nfc(text)]) for text in texts]
    hashes = [json.dumps(every(prefix, suffix)) for prefix, suffix in [("", ""), ("e\u0323", ""), ("", "\u0301"), ("\u0345", "")]]
    (HERE / "nfc.json").write_text(
        '{"texts": [\n%s\n],\n"every": [\n%s\n]}\n' % (",\n".join(lines), ",\n".join(hashes))
    )


if __name__ == "__main__":
    main()
