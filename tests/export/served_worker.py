"""Loads a SavedModel and answers requests, one line of JSON each, with TensorFlow alone.

python served_worker.py FOLDER
"""

import json
import os
import sys
from typing import Any


class _Missing:
    """Neither package may be found, installed or not."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in ("tfrec", "export"):
            raise ImportError(f"{name} is not to be had here")


def main() -> None:
    sys.meta_path.insert(0, _Missing())  # type: ignore[arg-type]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (TensorFlow Serving has its operations too)

    model = tf.saved_model.load(sys.argv[1])
    for line in sys.stdin:
        name, given = json.loads(line)
        signature = model.signatures[name]
        wanted = signature.structured_input_signature[1]
        request = {key: tf.constant(given[key], wanted[key].dtype) for key in wanted}
        found = signature(**request)
        reply = {
            key: [value.dtype.name, value.shape.as_list(), _plain(value.numpy().ravel().tolist())]
            for key, value in found.items()
        }
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def _plain(values: list[Any]) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in values]


if __name__ == "__main__":
    main()
