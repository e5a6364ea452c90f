"""A Hugging Face checkpoint in tfrec beside Hugging Face itself: token ids, vectors, speed.

    python benchmarks/text_parity.py --model all-MiniLM-L6-v2 --texts titles.txt

One text per line, UTF-8. Token ids of all texts are compared with the `tokenizers` library, vectors
of some with transformers on PyTorch where that is installed. The exit code is 1 where ids differ
or a cosine is below .9999.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tfrec.console import import_tensorflow, say

CLOSE = 0.9999


def main() -> int:
    parser = argparse.ArgumentParser(description="Token ids, vectors and speed of a text encoder.")
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder")
    parser.add_argument("--texts", type=Path, required=True, help="one text per line, UTF-8")
    parser.add_argument("--vectors", type=int, default=200, help="texts whose vectors are compared")
    arguments = parser.parse_args()
    tf = import_tensorflow()
    from tfrec.text.encoder import load_encoder

    texts = arguments.texts.read_text(encoding="utf-8").split("\n")
    began = time.perf_counter()
    encoder = load_encoder(arguments.model)
    say(f"{arguments.model}: {encoder.dim} wide, loaded in {time.perf_counter() - began:.1f} s")
    tokens, equal = compare_tokens(tf, encoder, texts)
    vectors = timed_vectors(encoder, texts)
    some = tokens[: arguments.vectors]
    close = compare_vectors(arguments.model, encoder.pooling.mode, some, vectors)
    return 0 if equal and close else 1


def compare_tokens(tf: Any, encoder: Any, texts: list[str]) -> tuple[list[list[int]], bool]:
    """Ids of all texts from both, and the time that each took."""
    from tokenizers import Tokenizer

    fast = Tokenizer.from_str(encoder.tokenizer.definition)
    fast.no_padding()
    fast.enable_truncation(encoder.tokenizer.max_length)
    began = time.perf_counter()
    expected = [encoding.ids for encoding in fast.encode_batch(texts)]
    theirs = time.perf_counter() - began
    strings = tf.constant([text.encode() for text in texts])
    encoder.tokenizer.ragged(strings[:1])  # traces the graph
    began = time.perf_counter()
    found = encoder.tokenizer.ragged(strings)
    ours = time.perf_counter() - began
    pairs = zip(texts, found.to_list(), expected, strict=True)
    wrong = [text for text, ids, reference in pairs if ids != reference]
    total = sum(map(len, expected))
    say(f"token ids: {len(texts) - len(wrong):,} of {len(texts):,} texts equal, {total:,} tokens")
    for text in wrong[:5]:
        say(f"  differs: {text[:100]!r}")
    say(
        f"tokenising: graph {len(texts) / ours:,.0f}, tokenizers {len(texts) / theirs:,.0f} texts/s"
    )
    return expected, not wrong


def timed_vectors(encoder: Any, texts: list[str]) -> Any:
    """As a training run encodes its catalogue, into a cache and again out of it."""
    from tfrec.text.vectors import item_vectors

    with tempfile.TemporaryDirectory() as cache:
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            vectors = np.array(item_vectors(texts, encoder, Path(cache)))
            seconds.append(time.perf_counter() - began)
    say(
        f"encoding: {len(texts) / seconds[0]:,.0f} texts/s, strings to vectors, tracing included; "
        f"from the cache {seconds[0] / seconds[1]:,.0f} times as fast"
    )
    return vectors


def compare_vectors(model: Path, mode: str, tokens: list[list[int]], found: Any) -> bool:
    """Smallest cosine to the last hidden states of transformers, pooled the same way."""
    missing = [name for name in ("torch", "transformers") if not importlib.util.find_spec(name)]
    if missing:
        say(f"vectors: not compared, {' and '.join(missing)} cannot be imported")
        return True
    import torch
    from transformers import AutoModel

    theirs = AutoModel.from_pretrained(model, local_files_only=True).eval()
    cosines = []
    with torch.no_grad():
        for row, ids in enumerate(tokens):
            if not ids:
                continue
            states = theirs(torch.tensor([ids])).last_hidden_state[0].numpy()
            pooled = {
                "mean": states.mean(0),
                "max": states.max(0),
                "cls": states[0],
                "last": states[-1],
            }[mode]
            lengths = np.linalg.norm(pooled) * np.linalg.norm(found[row])
            cosines.append(float(pooled @ found[row] / lengths))
    say(f"vectors: cosine to transformers at least {min(cosines):.6f} over {len(cosines)} texts")
    return min(cosines) >= CLOSE


if __name__ == "__main__":
    sys.exit(main())
