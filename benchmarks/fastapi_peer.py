"""The same SavedModel behind FastAPI and uvicorn, as one would write it by hand.

    python benchmarks/fastapi_peer.py VERSION PORT

Takes and gives what TensorFlow Serving's REST interface does in row format, so that both are asked
alike. The endpoint is a plain function: FastAPI runs it on its pool of threads, and TensorFlow
releases Python's lock while it computes.
"""

import importlib
import sys
from typing import Annotated, Any

from tfrec.console import import_tensorflow


def main(version: str, port: int) -> None:
    tf = import_tensorflow()
    importlib.import_module("tensorflow_text")  # its ops: the server has them too
    import uvicorn
    from fastapi import Body, FastAPI

    signatures = tf.saved_model.load(version).signatures
    app = FastAPI()

    def predict(
        signature_name: Annotated[str, Body()], instances: Annotated[list[dict[str, Any]], Body()]
    ) -> Any:
        signature = signatures[signature_name]
        kinds = signature.structured_input_signature[1]
        outputs = signature(
            **{
                name: tf.constant([row[name] for row in instances], spec.dtype)
                for name, spec in kinds.items()
            }
        )
        columns = {name: _plain(value.numpy()) for name, value in outputs.items()}
        rows = zip(*columns.values(), strict=True)
        return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}

    app.post("/v1/models/{model}:predict")(predict)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def _plain(array: Any) -> Any:
    return array.astype(str).tolist() if array.dtype == object else array.tolist()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
