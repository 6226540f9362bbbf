"""Reads the event files of runs with the tensorboard package and compares every value with the run's metrics.jsonl.

    python3 -m venv venv && venv/bin/pip install tensorboard
    venv/bin/python tools/bench/peers/read_tensorboard.py RUN...

Prints one line per run: its tags, the values compared, and the event files. Exits with 1 at the first difference.
"""
import argparse
import glob
import json
import math
import os
import struct
import sys

from tensorboard.backend.event_processing import event_accumulator, tag_types

LEFT_OUT = {"step", "tokens", "seconds", "time"}


def as_f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def scalars_of(row):
    """The tags and values of a row, as docs/watch.md describes them."""
    event = row["event"]
    for key, value in row.items():
        name = key.removeprefix("val_")
        if isinstance(value, (int, float)) and name not in LEFT_OUT:
            yield f"{event}/{name}", value
        elif isinstance(value, list) and value and isinstance(value[0], (int, float)):
            for layer, one in enumerate(value):
                yield f"{event}_layers/{name.removesuffix('_by_layer')}/{layer:02d}", one
        elif key == "communication":
            for kind, traffic in value.items():
                for what, one in traffic.items():
                    yield f"{event}_communication/{kind}_{what}", one
    if "expert_load" in row:
        dead = sum(share * len(layer) < 0.1 * sum(layer) for layer in row["expert_load"] for share in layer)
        yield "eval/dead_experts", dead


def expected_curves(run):
    curves = {}
    with open(os.path.join(run, "metrics.jsonl")) as file:
        for line in file:
            row = json.loads(line)
            if row["event"] not in ("train", "eval"):
                continue
            for tag, value in scalars_of(row):
                if math.isfinite(value):
                    curves.setdefault(tag, []).append((row["step"], as_f32(value), row.get("time")))
    return curves


def read_curves(run):
    reader = event_accumulator.EventAccumulator(run, size_guidance={tag_types.TENSORS: 0, event_accumulator.SCALARS: 0})
    reader.Reload()
    curves = {tag: [(e.step, e.value, e.wall_time) for e in reader.Scalars(tag)]
              for tag in reader.Tags()[event_accumulator.SCALARS]}
    return curves


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    for run in parser.parse_args().runs:
        expected, found = expected_curves(run), read_curves(run)
        if sorted(expected) != sorted(found):
            sys.exit(f"{run}: tags differ: {sorted(set(expected) ^ set(found))}")
        for tag, points in expected.items():
            if points != found[tag]:
                pairs = [pair for pair in zip(points, found[tag]) if pair[0] != pair[1]]
                sys.exit(f"{run}: {tag}: {len(points)} points in metrics.jsonl, {len(found[tag])} in the event files; "
                         f"first difference {pairs[:1]}")
        values = sum(len(points) for points in expected.values())
        print(f"{run}: {len(expected)} tags, {values} values equal, "
              f"{len(glob.glob(os.path.join(glob.escape(run), 'events.out.tfevents.*')))} event files")


if __name__ == "__main__":
    main()
