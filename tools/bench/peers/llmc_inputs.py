#!/usr/bin/env python3
"""Writes the files that llm.c's CPU trainer opens at start-up: random weights of a GPT-2 of any shape, random tokens.

    python3 llmc_inputs.py LLMC_DIR [--vocab 2048] [--layers 6] [--heads 4] [--channels 256] [--context 256]

LLMC_DIR is a checkout of llm.c; the files are gpt2_124M.bin (the name is fixed in its source, the shape is not) and
dev/data/tinyshakespeare/tiny_shakespeare_{train,val}.bin.
"""
import argparse
import pathlib

import numpy as np

TOKENS = 1 << 18


def header(*values):
    block = np.zeros(256, np.int32)
    block[: len(values)] = values
    return block.tobytes()


def weights(o, random):
    """All parameters in llm.c's order: each kind of tensor for all layers, then the next kind."""
    V, L, C = o.vocab, o.layers, o.channels
    matrix = lambda *shape: random.normal(0, 0.02, shape).astype(np.float32)
    ones, zeros = lambda *shape: np.ones(shape, np.float32), lambda *shape: np.zeros(shape, np.float32)
    return [
        matrix(V, C), matrix(o.context, C),
        ones(L, C), zeros(L, C), matrix(L, 3 * C, C), zeros(L, 3 * C), matrix(L, C, C), zeros(L, C),
        ones(L, C), zeros(L, C), matrix(L, 4 * C, C), zeros(L, 4 * C), matrix(L, C, 4 * C), zeros(L, C),
        ones(C), zeros(C),
    ]


def main():
    parser = argparse.ArgumentParser(description="write the inputs of llm.c's CPU trainer for a GPT-2 of any shape")
    parser.add_argument("directory", type=pathlib.Path)
    for name, value in {"vocab": 2048, "layers": 6, "heads": 4, "channels": 256, "context": 256}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    o = parser.parse_args()
    random = np.random.default_rng(1)
    with open(o.directory / "gpt2_124M.bin", "wb") as file:
        # Magic, version (3 = f32), context, vocabulary, layers, heads, channels, padded vocabulary.
        file.write(header(20240326, 3, o.context, o.vocab, o.layers, o.heads, o.channels, o.vocab))
        for tensor in weights(o, random):
            tensor.tofile(file)
    data = o.directory / "dev" / "data" / "tinyshakespeare"
    data.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        with open(data / f"tiny_shakespeare_{split}.bin", "wb") as file:
            file.write(header(20240520, 1, TOKENS))
            random.integers(0, o.vocab, TOKENS).astype(np.uint16).tofile(file)


if __name__ == "__main__":
    main()
