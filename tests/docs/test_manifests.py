"""The manifests of docs/deploy: valid by Kubernetes' schemas, and in agreement with the server and its settings."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from hearth import settings
from hearth.protocols.router import Router
from tests.support import ROOT

FOLDER = ROOT / "docs/deploy"
OBJECTS = {
    f"{file} {document['kind']}": document
    for file in ("kubernetes.yaml", "knative.yaml")
    for document in yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8"))
}
WORKLOADS = [name for name, document in OBJECTS.items() if "template" in document["spec"]]
KNATIVE_FIELDS = {"containerConcurrency", "timeoutSeconds"}
"""Of a revision's specification, beside those of a pod."""
KNATIVE_POD_FIELDS = {"containers", "volumes"}
"""Of a pod, without feature flags of Knative."""


def pod(name: str) -> dict[str, Any]:
    specification: dict[str, Any] = OBJECTS[name]["spec"]["template"]["spec"]
    return {field: value for field, value in specification.items() if field not in KNATIVE_FIELDS}


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["containers"]
    return dict(only)


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_follow_the_schemas_of_kubernetes(name: str) -> None:
    """Those of Knative, which has its own kind, by the pod that it makes."""
    validate = pytest.importorskip("kubernetes_validate").validate
    document = OBJECTS[name]
    if document["apiVersion"].startswith("serving.knative.dev/"):
        assert set(pod(name)) <= KNATIVE_POD_FIELDS
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hearth"}, "spec": pod(name)}
    validate(document, "1.33", strict=True)


@pytest.mark.parametrize("name", WORKLOADS)
def test_probes_ask_public_routes_of_the_port(name: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in container(name)["ports"]}
    probes = {kind: container(name)[kind]["httpGet"] for kind in container(name) if kind.endswith("Probe")}
    assert {"livenessProbe", "readinessProbe"} <= probes.keys()
    for kind, probe in probes.items():
        match = Router().find("GET", probe["path"])
        assert match, kind
        assert match.route.public, kind
        assert match.route.operation_id == ("server_ready" if kind == "readinessProbe" else "server_live")
        assert ports.get(probe["port"], probe["port"]) == 8080
    assert '"--port", "8080"' in (FOLDER / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WORKLOADS)
def test_variables_are_settings_and_the_time_to_end_is_enough(name: str) -> None:
    variables = {row["name"]: row["value"] for row in container(name)["env"]}
    documented = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert all(f"`{variable}`" in documented for variable in variables if variable.startswith("HEARTH_"))
    config = settings.read(variables)
    grace = OBJECTS[name]["spec"]["template"]["spec"].get("terminationGracePeriodSeconds")
    if grace is not None:
        assert grace > config.drain_seconds + config.run_seconds
    assert config.drain_seconds or "knative" in name


@pytest.mark.parametrize("name", WORKLOADS)
def test_only_the_cache_and_the_scratch_folder_are_written(name: str) -> None:
    security = {**pod(name).get("securityContext", {}), **container(name)["securityContext"]}
    assert security["readOnlyRootFilesystem"]
    assert security["runAsNonRoot"]
    assert not security["allowPrivilegeEscalation"]
    image = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    cache = re.search(r"HEARTH_CACHE_DIR=(/[a-z]+)/", image)
    assert cache
    assert {mount["mountPath"] for mount in container(name)["volumeMounts"]} == {cache[1], "/tmp"}
