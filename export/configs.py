"""The files that a server beside the model reads: which model, monitoring, batching, containers."""

from __future__ import annotations

from pathlib import Path

from export.disk import cannot_write
from tfrec.atomic import write_text

# Of the same TensorFlow as the one that writes the model: an older one may lack an op.
IMAGE = "tensorflow/serving:2.20.0"

_MODEL = """\
# Which model to serve: tensorflow_model_server --model_config_file=model.config
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    # The newest version is served. To go back to an earlier one, name it:
    # model_version_policy {{ specific {{ versions: 1 }} }}
  }}
}}
"""

_MONITORING = """\
# Counters and latencies for Prometheus, on the REST port.
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""

_BATCHING = """\
# Requests that arrive together are answered together. Worth it under load, and only when every
# client pads its histories (and candidates) to one agreed length with "": requests of different
# shapes cannot share a batch, and the server's own padding must stay off because it repeats a
# request's first element, which would add that event to the history once more. A client's own
# batch must not be larger than max_batch_size.
max_batch_size { value: 64 }
batch_timeout_micros { value: 1000 }
num_batch_threads { value: 4 }
max_enqueued_batches { value: 100 }
pad_variable_length_inputs: false
"""

_COMPOSE = """\
# docker compose up: this folder behind gRPC on 8500 and REST on 8501.
# The image is the one of the TensorFlow that wrote the model, 2.20. A new version is loaded as soon
# as it is there, without a restart.
services:
  "{name}":
    image: {image}
    ports:
      - "8500:8500"
      - "8501:8501"
    volumes:
      - .:/models/{name}:ro
    command:
      - --model_config_file=/models/{name}/model.config
      - --monitoring_config_file=/models/{name}/monitoring.config
      - --file_system_poll_wait_seconds=5
      # Together, once clients send one length, see batching.config:
      # - --enable_batching=true
      # - --batching_parameters_file=/models/{name}/batching.config
    restart: unless-stopped
"""


# Has ScaNN's operations too. Where it is older than the TensorFlow that wrote the model, build it
# from the Dockerfile that ScaNN publishes in tf_serving/.
SCANN_IMAGE = "google/tf-serving-scann"


def configs(name: str, image: str = IMAGE) -> dict[str, str]:
    """File name -> text, for the model folder of a model that is served as `name`."""
    return {
        "model.config": _MODEL.format(name=name),
        "monitoring.config": _MONITORING,
        "batching.config": _BATCHING,
        "docker-compose.yaml": _COMPOSE.format(name=name, image=image),
    }


def write_configs(models: Path, name: str, image: str = IMAGE) -> list[str]:
    """Writes the files that are missing; one that is there may have been edited and is kept.

    Where one cannot be written, those that were are taken back.

    Returns:
        The names of those that were kept though they say something else.

    Raises:
        UserError: one cannot be written.
    """
    kept, new = [], []
    for file, text in configs(name, image).items():
        path = models / file
        try:
            if not path.exists():
                write_text(path, text)
                new.append(path)
            elif path.read_bytes() != text.encode():
                kept.append(file)
        except OSError as error:
            for earlier in new:
                earlier.unlink()
            raise cannot_write(path, error) from None
    return kept
