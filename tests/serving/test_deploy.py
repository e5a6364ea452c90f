"""The deployment files: against the schemas that are published, and against each other."""

from __future__ import annotations

import configparser
import glob
import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from google.protobuf import json_format, text_format

from export.configs import IMAGE, configs
from serving.api_keys import HEADER
from serving.flags import parse
from serving.protos import MonitoringConfig

DEPLOY = Path(__file__).parents[2] / "serving" / "deploy"
ENVOY = DEPLOY / "envoy" / "envoy.yaml"
WITH_KEYS = DEPLOY / "envoy" / "envoy-api-keys.yaml"
KEYS = DEPLOY / "envoy" / "api-keys.yaml"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
# The oldest that is still in use and the newest known.
KUBERNETES = ("1.30", "1.37")


def read(path: str | Path) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def beside_the_model() -> dict[str, str]:
    """What an export writes beside a model "shop"."""
    return configs("shop")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_have_the_form_that_kubernetes_asks_for(path: Path, version: str) -> None:
    kubernetes_validate.validate(read(path), version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    manifest = read("kubernetes/deployment.yaml")
    manifest["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)


def test_manifests_fit_each_other() -> None:
    deployment = read("kubernetes/deployment.yaml")
    name, labels = deployment["metadata"]["name"], deployment["spec"]["selector"]["matchLabels"]
    pod = deployment["spec"]["template"]
    assert labels.items() <= pod["metadata"]["labels"].items()
    containers = {container["name"]: container for container in pod["spec"]["containers"]}
    ports = {port["name"] for one in containers.values() for port in one["ports"]}
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    for container in containers.values():
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if kind in container:
                assert container[kind]["httpGet"]["port"] in ports
    service = read("kubernetes/service.yaml")
    assert service["spec"]["selector"] == labels
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    scaler = read("kubernetes/autoscaler.yaml")["spec"]
    assert scaler["scaleTargetRef"]["name"] == name
    assert scaler["metrics"][0]["containerResource"]["container"] in containers
    assert "replicas" not in deployment["spec"]  # the autoscaler's
    assert read("kubernetes/disruption-budget.yaml")["spec"]["selector"]["matchLabels"] == labels
    policy = read("kubernetes/network-policy.yaml")["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert {p["port"] for rule in policy["ingress"] for p in rule["ports"]} == ports - {"grpc"}
    made = read("kustomization.yaml")
    assert {DEPLOY / path for path in made["resources"]} == set(MANIFESTS)
    generated = {one["name"] for one in made["configMapGenerator"]}
    used = {v["configMap"]["name"] for v in pod["spec"]["volumes"] if "configMap" in v}
    used |= {e["configMapRef"]["name"] for c in containers.values() for e in c.get("envFrom", [])}
    assert used - generated == {"tfrec-jwks"}  # the user's own
    [envoy] = [one for one in containers.values() if one["name"] == "envoy"]
    mounted = {mount["mountPath"] for mount in envoy["volumeMounts"]}
    assert str(discovered(manager(read(WITH_KEYS))).parent) in mounted
    for one in made["configMapGenerator"]:
        assert all((DEPLOY / file).is_file() for file in one.get("files", []))
    stops = {
        n: c["lifecycle"]["preStop"]["sleep"]["seconds"]
        for n, c in containers.items()
        if "lifecycle" in c
    }
    # Envoy's requests may take 30 s once it is told to stop, and need the server until then.
    assert stops["serving"] > stops["envoy"] + 30
    assert pod["spec"]["terminationGracePeriodSeconds"] > stops["serving"]


def serving_flags(arguments: list[str]) -> dict[str, str]:
    """Flags by name, all known to a TensorFlow model server; the model is called shop."""
    for variable in ("${MODEL_NAME}", "$(MODEL_NAME)"):
        arguments = [argument.replace(variable, "shop") for argument in arguments]
    _, unknown = parse(arguments)
    assert not unknown
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def test_the_server_is_started_as_the_export_says(beside_the_model: dict[str, str]) -> None:
    small = yaml.safe_load(beside_the_model["docker-compose.yaml"])["services"]["shop"]
    compose = read("compose.yaml")["services"]["serving"]
    pod = read("kubernetes/deployment.yaml")["spec"]["template"]["spec"]["containers"][0]
    predictor = read("kserve/inference-service.yaml")["spec"]["predictor"]["model"]
    assert small["image"] == compose["image"] == pod["image"] == IMAGE
    assert predictor["runtimeVersion"] == IMAGE.partition(":")[2]
    wanted = serving_flags(small["command"])
    assert serving_flags(compose["command"]) == wanted
    ports = {"port": "8500", "rest_api_port": "8501"}  # which the image passes by itself
    assert serving_flags(pod["args"]) == wanted | ports
    for flag, value in serving_flags(predictor["args"]).items():
        assert value == wanted[flag].replace("/models/shop", "/mnt/models")
    assert [port.partition(":")[2] for port in small["ports"]] == list(ports.values())


def test_everybody_asks_for_the_metrics_where_they_are(beside_the_model: dict[str, str]) -> None:
    monitoring = text_format.Parse(beside_the_model["monitoring.config"], MonitoringConfig())
    path = monitoring.prometheus_config.path
    jobs = {job["job_name"]: job for job in read("prometheus/prometheus.yml")["scrape_configs"]}
    assert jobs["serving"]["metrics_path"] == path
    targets = {name: job["static_configs"][0]["targets"] for name, job in jobs.items()}
    assert targets == {"serving": ["serving:8501"], "probe": ["probe:9109"]}
    pod = read("kubernetes/deployment.yaml")["spec"]["template"]["spec"]
    for container in pod["containers"]:
        if container["name"] == "serving":
            assert container["livenessProbe"]["httpGet"]["path"] == path


def test_compose_mounts_files_that_are_there() -> None:
    services = read("compose.yaml")["services"]
    for name, service in services.items():
        for volume in service["volumes"]:
            source = volume.split(":/")[0]
            assert (
                source.startswith("${")
                or source in ("prometheus", "grafana")
                or (DEPLOY / source).exists()
            ), f"{name}: {source}"
        assert set(service.get("depends_on", {})) <= set(services)
    # Only Envoy is open to the network.
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:") or name == "envoy"


def test_grafana_finds_its_source_and_its_board() -> None:
    services = read("compose.yaml")["services"]
    [source] = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = read("grafana/provisioning/dashboards/tfrec.yaml")["providers"]
    folder = provider["options"]["path"]
    assert f"./grafana/dashboards:{folder}:ro" in services["grafana"]["volumes"]
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "tfrec.json").read_text())
    uids = {t["datasource"]["uid"] for panel in board["panels"] for t in panel["targets"]}
    assert uids == {source["uid"]}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def types(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "@type" in node:
            yield node["@type"].partition("/")[2]
        for value in node.values():
            yield from types(value)
    elif isinstance(node, list):
        for value in node:
            yield from types(value)


def bootstrap(config: Any) -> Any:
    """The configuration as Envoy's own messages; an unknown field or a wrong type is an error."""
    from envoy.config.bootstrap.v3 import bootstrap_pb2

    return parsed(config, bootstrap_pb2.Bootstrap())


def parsed(config: Any, message: Any) -> Any:
    for name in types(config):  # registers the messages that Any fields hold
        package = importlib.import_module(name.rpartition(".")[0])
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if module.name.endswith("_pb2"):
                importlib.import_module(module.name)
    return json_format.ParseDict(config, message)


@pytest.mark.parametrize("path", [ENVOY, WITH_KEYS], ids=lambda path: path.name)
def test_envoy_has_the_form_that_its_protocol_asks_for(path: Path) -> None:
    made = bootstrap(read(path))
    found = {cluster.name: cluster for cluster in made.static_resources.clusters}
    hosts = {
        name: cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
        for name, cluster in found.items()
    }
    assert {(host.address, host.port_value) for host in hosts.values()} == {
        ("serving", 8500),
        ("serving", 8501),
    }


def manager(config: Any) -> Any:
    [chain] = config["static_resources"]["listeners"][0]["filter_chains"]
    return chain["filters"][0]["typed_config"]


@pytest.mark.parametrize("wrong", ["field", "type", "nested"])
def test_a_mistake_in_envoy_would_be_found(wrong: str) -> None:
    config = read(ENVOY)
    if wrong == "field":
        config["static_resources"]["clusters"][0]["conect_timeout"] = "1s"
    elif wrong == "type":
        manager(config)["use_remote_address"] = "sometimes"
    else:
        manager(config)["http_filters"][0]["typed_config"]["providers"]["clients"]["issuers"] = []
    with pytest.raises(json_format.ParseError):
        bootstrap(config)


def discovered(config: Any) -> Path:
    """The file that holds the keys."""
    source = config["http_filters"][0]["config_discovery"]["config_source"]["path_config_source"]
    path = Path(source["path"])
    assert source["watched_directory"] == {"path": str(path.parent)}  # else no change is seen
    return path


def test_keys_take_the_place_of_tokens_and_nothing_else_changes() -> None:
    tokens, keys = read(ENVOY), read(WITH_KEYS)
    other = manager(keys)
    assert other["http_filters"][0]["name"] == "api_keys"
    [mutation] = other.pop("early_header_mutation_extensions")
    # What counts as the client's name cannot come from the client.
    assert mutation["typed_config"]["mutations"] == [{"remove": "x-tfrec-client"}]
    [host] = other["route_config"]["virtual_hosts"]
    open_to_all = {
        route["match"]["path"]: route.pop("typed_per_filter_config")["api_keys"]["disabled"]
        for route in host["routes"]
        if "typed_per_filter_config" in route
    }
    assert open_to_all == {"/healthz": True}
    other["http_filters"][0] = manager(tokens)["http_filters"][0]
    assert keys == tokens


def test_the_file_of_keys_fits_envoy_and_lets_nobody_in() -> None:
    from envoy.service.discovery.v3 import discovery_pb2

    file = read(KEYS)
    parsed(file, discovery_pb2.DiscoveryResponse())
    [resource] = file["resources"]
    filter_ = manager(read(WITH_KEYS))["http_filters"][0]
    assert resource["name"] == filter_["name"]
    assert resource["typed_config"]["@type"] in filter_["config_discovery"]["type_urls"]
    assert discovered(manager(read(WITH_KEYS))).name == KEYS.name
    assert [source["header"] for source in resource["typed_config"]["key_sources"]] == [
        HEADER,  # what the client sends
        "authorization",
    ]
    assert resource["typed_config"]["forwarding"]["header"] == "x-tfrec-client"
    assert resource["typed_config"]["credentials"] == []
    resource["typed_config"]["credentials"] = [{"kye": "s3cret", "client": "shop"}]
    with pytest.raises(json_format.ParseError):
        parsed(file, discovery_pb2.DiscoveryResponse())


def test_compose_exchanges_the_file_of_envoy() -> None:
    base, over = read("compose.yaml")["services"], read("compose.api-keys.yaml")["services"]
    assert list(over) == ["envoy"]
    targets = [volume.rsplit(":", 2)[1] for volume in base["envoy"]["volumes"]]
    config, keys = over["envoy"]["volumes"]
    assert config.rsplit(":", 2)[1] in targets
    assert DEPLOY / config.partition(":")[0] == WITH_KEYS
    assert keys.rsplit(":", 2)[1] == str(discovered(manager(read(WITH_KEYS))).parent)


def test_only_questions_pass_envoy_and_only_with_a_token() -> None:
    config = manager(read(ENVOY))
    filters = [one["name"].rpartition(".")[2] for one in config["http_filters"]]
    assert filters == ["jwt_authn", "local_ratelimit", "buffer", "router"]
    authentication = config["http_filters"][0]["typed_config"]
    open_paths = [r["match"] for r in authentication["rules"] if "requires" not in r]
    assert open_paths == [{"path": "/healthz"}]
    assert authentication["rules"][-1] == {
        "match": {"prefix": "/"},
        "requires": {"provider_name": "clients"},
    }
    [host] = config["route_config"]["virtual_hosts"]
    reached = [
        match.get("prefix") or match["path"]
        for match in (route["match"] for route in host["routes"] if "route" in route)
    ]
    assert reached == [
        "/tensorflow.serving.PredictionService/",
        "/tensorflow.serving.ModelService/GetModelStatus",
        "/v1/models/",
    ]


def test_every_file_is_shipped() -> None:
    setup = configparser.ConfigParser()
    setup.read(DEPLOY.parents[1] / "setup.cfg")
    patterns = setup["options.package_data"]["serving.deploy"].split()
    # As setuptools expands them.
    shipped = {f for p in patterns for f in glob.glob(p, root_dir=DEPLOY, recursive=True)}
    files = {path.relative_to(DEPLOY) for path in DEPLOY.rglob("*") if path.is_file()}
    assert {str(path) for path in files if path.suffix not in (".py", ".pyc")} == shipped
