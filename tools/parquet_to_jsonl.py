#!/usr/bin/env python3
"""Converts Parquet, Arrow and Feather files to compressed JSON lines, which gptmoe-tokenize reads.

    python3 -m venv venv && venv/bin/pip install pyarrow
    venv/bin/python tools/parquet_to_jsonl.py fineweb-edu/ --out texts/
    build/gptmoe-tokenize encode --tokenizer tokenizers/gpt2 --input texts/ --output data/fineweb-edu

Inputs are .parquet files, .arrow files (streams as `datasets` saves them, or Arrow's file format), .feather files of
version 2, folders with such files, and patterns. Capital letters in the endings do not matter. Of a folder that
`datasets` saved, the script takes the files that the folder's state.json lists. Every input file becomes one .jsonl.zst
with one line {"text": ...} per row; files from a folder keep their path below that folder. --field names a column other
than "text", and the lines then have a field of that name. The last line of the output counts other files in folders
and among the matches of a pattern, and names the first three.

Files are read piece by piece, so memory does not grow with their size. An output has a temporary name until it is
complete. If the script is interrupted, run the same command again: it skips the files that are done. A signal ends it
with exit code 128 + signal. Rows without a text (null) are counted and left out. Needs pyarrow 8 or later.
"""
import argparse
import concurrent.futures
import glob
import json
import multiprocessing
import os
import signal
import sys
import threading
import time

try:
    import pyarrow
    import pyarrow.parquet
except ImportError:
    sys.exit("parquet_to_jsonl.py: needs the Python package pyarrow: "
             "python3 -m venv venv && venv/bin/pip install pyarrow, then run this with venv/bin/python")

KINDS = (".parquet", ".arrow", ".feather")
DESCRIPTIONS = ("state.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json")  # of `datasets`
ROWS = 256  # converted at a time
LONG_LINE = 16 << 20  # gptmoe-tokenize's default of --max-line-mib


class Refusal(Exception):
    """Bad input: one line with the remedy."""


class Stopped(Exception):
    """The parent process asked a worker to stop."""


class Signalled(BaseException):
    """A signal asked the script to stop."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


def kind_of(path):
    """The ending of a name in lower case if it is one of KINDS, else None."""
    ending = os.path.splitext(path)[1].lower()
    return ending if ending in KINDS else None


def saved_files(folder):
    """The data files of a folder that `datasets` saved; None for other folders."""
    path = os.path.join(folder, "state.json")
    if not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return [os.path.join(folder, entry["filename"]) for entry in json.load(file)["_data_files"]]
    except (ValueError, KeyError, TypeError):
        raise Refusal(f"{path}: does not list \"_data_files\"; save the dataset again, or name its .arrow files")


def files_in(folder, unread):
    """The files to convert; adds the others, except hidden ones, to the list `unread`."""
    def unreadable(error):
        raise Refusal(f"{error.filename}: cannot list the folder: {error.strerror}; make it readable")

    for where, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = [os.path.join(where, name) for name in sorted(names)
                 if not name.startswith(".") and name not in DESCRIPTIONS]
        saved = saved_files(where)
        found = [path for path in files if kind_of(path)] if saved is None else saved
        unread += [path for path in files if path not in set(found)]
        unread += [link for link in (os.path.join(where, name) for name in folders) if os.path.islink(link)]
        yield from found


def list_inputs(inputs):
    """Pairs of an input file and its output, relative to --out and without its extension; and the files not read."""
    pairs, unread = [], []
    for given in inputs:
        named = [given] if os.path.exists(given) else sorted(glob.glob(given))
        if not named:
            raise Refusal(f"{given}: no such file or folder; correct the input")
        found = []
        for path in named:
            if os.path.isdir(path):
                found += [(file, os.path.relpath(file, path)) for file in files_in(path, unread)]
            elif kind_of(path):
                found.append((path, os.path.basename(path)))
            elif path == given:
                raise Refusal(f"{path}: the name does not end in .parquet, .arrow or .feather; correct the input")
            else:
                unread.append(path)
        if not found:
            raise Refusal(f"{given}: no .parquet, .arrow or .feather files there; correct the input")
        pairs += [(file, os.path.splitext(output)[0]) for file, output in found]
    seen = {}
    for file, output in pairs:
        if output in seen:
            raise Refusal(f"{seen[output]} and {file}: both would become {output}.jsonl; name a folder above them, or "
                          "convert them with different --out")
        seen[output] = file
    return pairs, unread


def check_column(path, schema, field):
    if field not in schema.names:
        raise Refusal(f"{path}: no column \"{field}\"; it has {', '.join(schema.names)}; choose one with --field")
    kind = schema.field(field).type
    value = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if str(value) not in ("string", "large_string", "string_view", "null"):
        raise Refusal(f"{path}: the column \"{field}\" holds {kind}, not text; choose another one with --field")


def columns_of(path, field):
    """The texts as arrays, each with the share of the file that has been read so far."""
    if kind_of(path) == ".parquet":
        with pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            check_column(path, file.schema_arrow, field)
            rows, total = 0, file.metadata.num_rows
            for batch in file.iter_batches(batch_size=ROWS, columns=[field]):
                rows += batch.num_rows
                yield batch.column(0), rows / total
        return
    with pyarrow.memory_map(path) as source:
        if source.size() == 0:
            raise Refusal(f"{path}: empty file; copy it again or leave it out")
        magic = source.read(6)
        if magic.startswith(b"FEA1"):
            raise Refusal(f"{path}: Feather of version 1 is not read; write the file again as version 2")
        if magic == b"ARROW1":
            reader = pyarrow.ipc.open_file(source)
            check_column(path, reader.schema, field)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            source.seek(0)
            batches = reader = pyarrow.ipc.open_stream(source)
            check_column(path, reader.schema, field)
        for batch in batches:
            texts, share = batch.column(reader.schema.names.index(field)), source.tell() / source.size()
            for first in range(0, len(texts), ROWS):
                yield texts.slice(first, ROWS), share


def readable(path, arrays):
    """The items of `arrays`; an error while reading them becomes a Refusal."""
    try:
        yield from arrays
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise Refusal(f"{path}: cannot read: {' '.join(str(error).split())}; copy the file again")


def lines_of(path, array, field, rows):
    try:
        texts = array.to_pylist()
    except UnicodeDecodeError as error:
        raise Refusal(f"{path}: one of the rows {rows + 1} to {rows + len(array)} is not valid UTF-8: {error.reason}; "
                      "correct the file")
    for text in texts:
        if text is not None:
            yield json.dumps({field: text}, ensure_ascii=False).encode() + b"\n"


bytes_read = stop = None  # shared by all processes: a counter and an event


def exit_with(parent):
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)  # the parent was killed; a normal exit might wait for other threads


def start_worker(parent, *shared):
    global bytes_read, stop
    bytes_read, stop = shared
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent ends the workers
    threading.Thread(target=exit_with, args=(parent,), daemon=True).start()
    pyarrow.set_cpu_count(1)


def temporary_name(output, owner):
    """The name of an output until it is complete. `owner` is the process that the user started."""
    return f"{output}.{owner}.tmp"


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def remove_stale(output):
    """Removes what a killed run left."""
    for path in glob.glob(glob.escape(output) + ".*.tmp"):
        owner = path[len(output) + 1:-len(".tmp")]
        if owner.isdigit() and not is_running(int(owner)):
            os.remove(path)


def convert(task):
    """Converts one file. Returns its numbers of texts and nulls, its bytes of text and its longest line."""
    path, output, field, compression = task
    temporary = temporary_name(output, os.getppid())
    size, reported = os.path.getsize(path), 0
    rows = nulls = text_bytes = longest = 0
    os.makedirs(os.path.dirname(output), exist_ok=True)
    with pyarrow.output_stream(temporary, compression=compression) as file:
        for array, share in readable(path, columns_of(path, field)):
            lines = list(lines_of(path, array, field, rows))
            file.write(b"".join(lines))
            rows += len(array)
            nulls += len(array) - len(lines)
            text_bytes += sum(map(len, lines))
            longest = max([longest, *map(len, lines)])
            if stop.is_set():
                raise Stopped
            with bytes_read.get_lock():
                bytes_read.value += int(size * share) - reported
            reported = int(size * share)
    descriptor = os.open(temporary, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(temporary, output)
    return rows - nulls, nulls, text_bytes, longest


def check_done(output, field):
    """Refuses an output that an earlier run made from a different field."""
    with pyarrow.input_stream(output, compression="detect") as file:
        start = file.read(4096)
    if start and not start.startswith(b'{' + json.dumps(field, ensure_ascii=False).encode() + b':'):
        raise Refusal(f"{output}: holds another field than \"{field}\"; choose another --out or remove the folder")


def clock(seconds):
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def convert_all(tasks, jobs):
    """The sums over all tasks of what convert() returns, and the longest line of all."""
    total = sum(os.path.getsize(path) for path, *_ in tasks)
    context = multiprocessing.get_context("spawn")
    shared = context.Value("q", 0), context.Event()
    sums, begin, live = [0, 0, 0, 0], time.monotonic(), sys.stderr.isatty()
    with concurrent.futures.ProcessPoolExecutor(min(jobs, len(tasks)), context, start_worker,
                                                (os.getpid(), *shared)) as pool:
        waiting = {pool.submit(convert, task) for task in tasks}
        try:
            while waiting:
                finished, waiting = concurrent.futures.wait(waiting, 0.5, concurrent.futures.FIRST_COMPLETED)
                for result in (future.result() for future in finished):
                    sums = [a + b for a, b in zip(sums[:3], result)] + [max(sums[3], result[3])]
                share = shared[0].value / max(total, 1)
                if live and share > 0:
                    left = (time.monotonic() - begin) * (1 - share) / share
                    print(f"\r\x1b[Kconverting: {len(tasks) - len(waiting)} of {len(tasks)} files, {share:.0%}, "
                          f"{clock(left)} left", end="", file=sys.stderr, flush=True)
        except BaseException:
            shared[1].set()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            if live:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return sums


def run(options):
    if options.jobs < 1:
        raise Refusal(f"--jobs {options.jobs}: give 1 or more")
    compression, ending = ("zstd", ".zst") if pyarrow.Codec.is_available("zstd") else ("gzip", ".gz")
    tasks, done = [], 0
    pairs, unread = list_inputs(options.input)
    for path, output in pairs:
        output = os.path.join(options.out, output + ".jsonl" + ending)
        if os.path.exists(output) and os.path.getmtime(output) >= os.path.getmtime(path):
            check_done(output, options.field)
            done += 1
        else:
            tasks.append((path, output, options.field, compression))
            remove_stale(output)
    try:
        texts, nulls, text_bytes, longest = convert_all(tasks, options.jobs) if tasks else (0, 0, 0, 0)
    finally:
        for _, output, *_ in tasks:
            if os.path.exists(temporary_name(output, os.getpid())):
                os.remove(temporary_name(output, os.getpid()))
    line = f"{options.out}: {len(tasks):,} files, {texts:,} texts, {text_bytes / 1e6:,.1f} MB"
    if nulls:
        line += f"; {nulls:,} rows without a text left out"
    if done:
        line += f"; {done:,} files were done already"
    if unread:
        line += (f"; {len(unread):,} file{'s' if len(unread) > 1 else ''} of another kind not read "
                 f"({', '.join(unread[:3])}{', ...' if len(unread) > 3 else ''})")
    if longest > LONG_LINE:
        line += f"; the longest line needs --max-line-mib {(longest >> 20) + 1}"
    print(line)


def main():
    parser = argparse.ArgumentParser(description="Converts Parquet, Arrow and Feather files to compressed JSON lines.",
                                     epilog="The top of this script says more.")
    parser.add_argument("input", nargs="+", help=".parquet, .arrow and .feather files, folders or patterns")
    parser.add_argument("--out", required=True, help="folder for the .jsonl.zst files")
    parser.add_argument("--field", default="text", help="the column that holds the text")
    parser.add_argument("--jobs", type=int, default=1, help="files converted at the same time (1)")
    options = parser.parse_args()

    def stop_at(number, _):
        raise Signalled(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, stop_at)
    try:
        run(options)
    except Refusal as error:
        print(f"parquet_to_jsonl.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"parquet_to_jsonl.py: {error}", file=sys.stderr)
        return 1
    except concurrent.futures.process.BrokenProcessPool:
        print("parquet_to_jsonl.py: a worker was killed, perhaps because memory ran out; try fewer --jobs",
              file=sys.stderr)
        return 1
    except Signalled as stopped:
        print("parquet_to_jsonl.py: stopped; run the same command again to continue", file=sys.stderr)
        return 128 + stopped.number
    return 0


if __name__ == "__main__":
    sys.exit(main())
