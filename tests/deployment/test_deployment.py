"""The files of a deployment agree with the package, and with each other."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from image_steps import instructions, variables

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "docs" / "deployment" / "chart"
VERSION = version("skillfleet-nb")


def manifests() -> dict[str, Any]:
    parts = yaml.safe_load_all((CHART.parent / "kubernetes.yaml").read_text("utf-8"))
    return {part["kind"]: part for part in parts}


def test_they_are_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    (container,) = manifests()["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    told = {chart["version"], chart["appVersion"]}
    told |= {image.rpartition(":")[2] for image in (compose["services"]["lab"]["image"], container["image"])}
    assert told == {VERSION}


def test_the_image_installs_what_was_tested() -> None:
    constraints = (ROOT / "constraints.txt").read_text("utf-8")
    torch = re.search(r"torch==\S+", " ".join(instructions("RUN")))
    assert torch is not None
    assert torch[0] in constraints.splitlines()
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sources = [word for step in instructions("COPY") if "--from" not in step for word in step.split()[:-1]]
    assert [source for source in sources if f"!{source}" not in ignored or not (ROOT / source).exists()] == []


def test_all_that_is_written_goes_where_it_may() -> None:
    places = [value for name, value in variables().items() if name.endswith(("HOME", "DIR"))]
    assert [place for place in places if not place.startswith(("/work", "/tmp"))] == []  # noqa: S108  the image's
    (container,) = manifests()["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/work", "/tmp"}  # noqa: S108


def test_probes_ask_what_the_server_answers() -> None:
    from skillfleet_nb.server.route import PREFIX

    health = f"/{PREFIX}/health"
    (container,) = manifests()["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")} == {health}
    template = (CHART / "templates" / "all.yaml").read_text("utf-8")
    assert re.findall(r"path: (\S+health)", template) == [health] * 3
    assert health in instructions("HEALTHCHECK")[0]
    command = json.loads(instructions("CMD")[-1])
    assert "--ServerApp.identity_provider_class=skillfleet_nb.server.roles.Tokens" in command


def test_the_manifests_are_the_chart_at_its_defaults() -> None:
    """Hold line by line what the chart writes without a value of its own: the rest is Helm's to say."""
    template = (CHART / "templates" / "all.yaml").read_text("utf-8")
    plain = [line.strip() for line in template.partition("kind: Ingress")[0].splitlines() if "{{" not in line]
    made = {line.strip() for line in (CHART.parent / "kubernetes.yaml").read_text("utf-8").splitlines()}
    labels = {"app.kubernetes.io/name: skillfleet-nb"}
    assert [line for line in plain if line and line not in made | labels] == []
