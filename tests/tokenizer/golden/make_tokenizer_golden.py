#!/usr/bin/env python3
"""Writes tokenizer.json and encodings.json beside this file with Hugging Face's `tokenizers`, the reference.

Run once by hand; the tests need only the two files. The vocabulary is small. Its special token has id 0, and it has
one added token that is not special, "<tool>".
"""
import json
import pathlib

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent

LESSON = """A miller's daughter counted sacks: one, two, three, and then 42 more. "They're heavy," she said, "we'll need
the cart; I'd ask for the donkey, but it's asleep." Nobody answered. The river ran on, the river ran on under the mill,
and the wheel turned in the river, and the flour fell from the stones into the sacks that the daughter had counted.
In winter the wheel stood still; in spring, when the snow had melted, the water rose and the wheel began to turn again.
    def count(sacks):
        return len(sacks) + 42
Größe, façade, naïve, Ærø. Пшеница и мука. 小麦粉を数える。 القمح والدقيق. १२३ ४५६.
"""

TEXTS = [
    "", " ", "  ", "a", " a", "  a", "   ", "\n", "\n\n", "\n a", " \n a", "a \n", "a\t\tb", "a\r\nb", "tab\tend \t",
    "the river ran on", "The river, the river!", "they're we'll I'd it's 's 't 'm 've don't DON'T 'S ''s '", "'ll'll",
    "42", " 42", "3.14159", "a1b2", "1a", "x=42;y==x", "-->", " -->  <--", "...", " ...and", "C++", "a_b",
    "Größe façade naïve Ærø", "Пшеница и мука", "小麦粉を数える。", "القمح", "१२३ ४५६", "½ ² Ⅷ ٣", "ªµº",
    "\u00a0a\u00a0\u00a0b", "\u2003a", "a\u3000\u3000b", "a\u0085b", "a\u200bb", "\x1c\x1d a", "\u1680\u2028\u2029x",
    "😀", " 😀😀 a", "👩‍👩‍👧", "e\u0301", "\ufeffBOM", "\U0010ffff", "\x00\x01\x7f", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "thethethethethethethe", "<tool>", "a<tool>b", "a <tool> b", "<tool><tool>", "<too", "the <tool", "  <tool>  ",
    "\U0001e5f1\u1c89 \U000323af",
]


def main():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([LESSON], trainer)
    tokenizer.add_tokens([AddedToken("<tool>", special=False)])
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    cases = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in TEXTS + [LESSON]]
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
    (HERE / "encodings.json").write_text("[\n" + lines + "\n]\n")


if __name__ == "__main__":
    main()
