"""The files beside the versions are what a server reads."""

from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

from export.configs import configs, write_configs
from tfrec.errors import UserError

FIELD = descriptor_pb2.FieldDescriptorProto
# Names and types as TensorFlow Serving publishes them; its Python package leaves these two out.
PUBLISHED = {
    "MonitoringConfig": {"prometheus_config": (1, ".PrometheusConfig")},
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "Int64Value": {"value": (1, "int64")},
    "BatchingParameters": {
        "max_batch_size": (1, ".Int64Value"),
        "batch_timeout_micros": (2, ".Int64Value"),
        "max_enqueued_batches": (3, ".Int64Value"),
        "num_batch_threads": (4, ".Int64Value"),
        "pad_variable_length_inputs": (7, "bool"),
    },
}


def message(name: str):  # type: ignore[no-untyped-def]
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", syntax="proto3")
    for known, fields in PUBLISHED.items():
        added = file.message_type.add(name=known)
        for field, (number, kind) in fields.items():
            if kind.startswith("."):
                added.field.add(
                    name=field, number=number, type=FIELD.TYPE_MESSAGE, type_name=kind, label=1
                )
            else:
                number_of_type = getattr(FIELD, f"TYPE_{kind.upper()}")
                added.field.add(name=field, number=number, type=number_of_type, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()


def test_the_model_config_names_the_model_and_where_it_lies() -> None:
    parsed = text_format.Parse(
        configs("shop")["model.config"], model_server_config_pb2.ModelServerConfig()
    )
    [model] = parsed.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (
        "shop", "/models/shop", "tensorflow",
    )  # fmt: skip


def test_monitoring_and_batching_are_text_protos() -> None:
    texts = configs("shop")
    monitoring = text_format.Parse(texts["monitoring.config"], message("MonitoringConfig"))
    assert monitoring.prometheus_config.enable
    batching = text_format.Parse(texts["batching.config"], message("BatchingParameters"))
    # The server pads with a request's first element: a history would get that event once more.
    assert not batching.pad_variable_length_inputs
    assert batching.max_batch_size.value > 1


@pytest.mark.parametrize("name", ["shop", "no", "1.5", "a_b.c-d"])
def test_compose_serves_this_folder_under_the_name(name: str) -> None:
    found = yaml.safe_load(configs(name)["docker-compose.yaml"])
    service = found["services"][name]
    assert service["image"].startswith("tensorflow/serving:2.20")
    assert service["volumes"] == [f".:/models/{name}:ro"]
    assert [port.partition(":")[0] for port in service["ports"]] == ["8500", "8501"]
    for flag in service["command"]:
        option, _, value = flag.partition("=")
        assert option.startswith("--")
        if value.startswith("/"):
            assert value.removeprefix(f"/models/{name}/") in configs(name)


def test_what_was_edited_is_kept(tmp_path: Path) -> None:
    assert write_configs(tmp_path, "shop") == []
    assert write_configs(tmp_path, "shop") == []
    (tmp_path / "batching.config").write_text("max_batch_size { value: 8 }\n")
    (tmp_path / "model.config").unlink()
    assert write_configs(tmp_path, "shop") == ["batching.config"]
    assert (tmp_path / "batching.config").read_text() == "max_batch_size { value: 8 }\n"
    assert (tmp_path / "model.config").read_text() == configs("shop")["model.config"]


def test_a_file_that_cannot_be_written_is_named_and_the_others_taken_back(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yaml").mkdir()
    (tmp_path / "model.config").write_text("mine")
    with pytest.raises(UserError, match=r"docker-compose\.yaml: Is a directory"):
        write_configs(tmp_path, "shop")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "docker-compose.yaml", "model.config",
    ]  # fmt: skip
