"""A sentence-transformers checkpoint in tfrec beside sentence-transformers: tokens, vectors, speed.

    python benchmarks/text_parity.py --model /folder/all-MiniLM-L6-v2 --texts texts.txt \\
        --peer-python /venv/with/sentence-transformers/bin/python      (10 min on 2 cores)

One text per line, UTF-8. Token ids of all texts are compared with the `tokenizers` library. The
peer lives in an environment of its own (`pip install sentence-transformers`); without
--peer-python only the tokens are compared. Both encode the same texts from strings to vectors on
all cores, in batches of the same size, sorted by length, cut at the same length, float32, each in a
process of its own; rounds alternate and the ratio is the median of the rounds' own. Bars: all ids
equal, every cosine at least .9999, as many texts per second as the peer, and from tfrec's cache 50
times as many as without. Exits with 1 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CLOSE, FROM_CACHE, BATCH = 0.9999, 50, 64


def main(argv: Sequence[str]) -> int:
    from results import write_section

    from tfrec.console import say
    from tfrec.run import command_line

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a sentence-transformers folder")
    parser.add_argument("--texts", type=Path, required=True, help="one text per line, UTF-8")
    parser.add_argument("--peer-python", help="of the environment with sentence-transformers")
    parser.add_argument("--most", type=int, default=500, help="texts of a round (default 500)")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    flags = parser.parse_args(argv)
    texts = flags.texts.read_text(encoding="utf-8").rstrip("\n").split("\n")
    lines, met = compare_tokens(flags.model, texts)
    if flags.peer_python:
        step = max(1, len(texts) // flags.most)
        rows, fast = compare_vectors(flags, texts[::step][: flags.most])
        lines += rows
        met &= fast
    for line in lines:
        say(line)
    title = f"Text encoder beside sentence-transformers: {flags.texts.stem}"
    write_section(title, "\n".join([f"`{command_line()}`", "", *lines]))
    return 0 if met else 1


def compare_tokens(model: Path, texts: list[str]) -> tuple[list[str], bool]:
    """Ids of all texts from both, and how fast."""
    from tokenizers import Tokenizer

    from tfrec.console import import_tensorflow
    from tfrec.text.encoder import load_encoder

    tf = import_tensorflow()
    tokenizer = load_encoder(model).tokenizer
    theirs = Tokenizer.from_str(tokenizer.definition)
    theirs.no_padding()
    theirs.enable_truncation(tokenizer.max_length)
    strings = tf.constant([text.encode() for text in texts])
    tokenizer.ragged(strings[:1])  # traces the graph
    ratios = []
    for _ in range(5):
        expected, slow = timed(lambda: [one.ids for one in theirs.encode_batch(texts)])
        found, fast = timed(lambda: tokenizer.ragged(strings))
        ratios.append(slow / fast)
    pairs = zip(found.to_list(), expected, strict=True)
    equal = sum(ids == reference for ids, reference in pairs)
    total = sum(map(len, expected))
    return [
        f"- token ids: {equal:,} of {len(texts):,} texts equal, {total:,} tokens",
        f"- tokenising: {statistics.median(ratios):.1f} times as fast as `tokenizers`",
    ], equal == len(texts)


def compare_vectors(flags: argparse.Namespace, texts: list[str]) -> tuple[list[str], bool]:
    """Vectors and speed of both, in processes of their own that take turns."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "texts.json").write_text(json.dumps(texts), "utf-8")
        sides = {"ours": sys.executable, "theirs": flags.peer_python}
        workers = {
            side: subprocess.Popen(
                [python, __file__, "--worker", side, str(flags.model), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for side, python in sides.items()
        }
        try:
            rounds = [{side: _round(one) for side, one in workers.items()}]  # warm-up
            rounds = [
                {side: _round(one) for side, one in workers.items()} for _ in range(flags.rounds)
            ]
        finally:
            for one in workers.values():
                one.kill()
        ours, theirs = (np.load(Path(folder, f"{side}.npy")) for side in sides)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = float(((ours * theirs).sum(axis=1) / lengths).min())
    speed = {side: len(texts) / statistics.median(one[side][0] for one in rounds) for side in sides}
    ratio = statistics.median(one["theirs"][0] / one["ours"][0] for one in rounds)
    again = statistics.median(one["ours"][0] / one["ours"][1] for one in rounds)
    return [
        f"- vectors: cosine to sentence-transformers at least {cosine:.7f}, {len(texts):,} texts",
        f"- encoding: {speed['ours']:.0f} texts/s beside {speed['theirs']:.0f}: {ratio:.2f} times "
        f"as many (median of {flags.rounds} rounds)",
        f"- from the cache: {again:.0f} times as fast as encoding",
    ], cosine >= CLOSE and ratio >= 1 and again >= FROM_CACHE


def _round(worker: subprocess.Popen[str]) -> list[float]:
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write("again\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("a worker ended before it answered: see its error above")
    seconds: list[float] = json.loads(line)
    return seconds


def work(side: str, model: str, folder: str) -> None:
    """For every line that comes in: encodes, writes the vectors and says how long it took."""
    texts = json.loads(Path(folder, "texts.json").read_text("utf-8"))
    encode = {"ours": _ours, "theirs": _theirs}[side](model, texts)
    for _ in sys.stdin:
        vectors, *seconds = encode()
        np.save(Path(folder, f"{side}.npy"), vectors)
        print(json.dumps(seconds), flush=True)


def _ours(model: str, texts: list[str]) -> Callable[[], tuple[Any, float, float]]:
    from tfrec.text.encoder import load_encoder
    from tfrec.text.vectors import item_vectors

    encoder = load_encoder(model)

    def encode() -> tuple[Any, float, float]:
        with tempfile.TemporaryDirectory() as cache:
            vectors, first = timed(lambda: np.array(item_vectors(texts, encoder, Path(cache))))
            _, again = timed(lambda: np.array(item_vectors(texts, encoder, Path(cache))))
        return vectors, first, again

    return encode


def _theirs(model: str, texts: list[str]) -> Callable[[], tuple[Any, float]]:
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    encoder = SentenceTransformer(model, device="cpu", local_files_only=True)
    return lambda: timed(lambda: encoder.encode(texts, batch_size=BATCH))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its seconds."""
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:])
    else:
        raise SystemExit(main(sys.argv[1:]))
