"""The manifests against the fields, types and rules of the APIs that they use.

The jobs in them are checked by Kubernetes's own OpenAPI schema (kubernetes-validate has it). What
JobSet adds is written down from its reference (v1alpha2, jobset.sigs.k8s.io/docs/reference), with
what the manifests use of the rest, so that a misspelled field, a field in the wrong place or a
value of another type is found without a cluster.
"""

import re
from pathlib import Path

import pytest
import yaml

from dfm_flax.config import shipped_configs

MANIFESTS = sorted(Path("launch/kubernetes").glob("*.yaml"))
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")

CONTAINER = {
    "name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "env": [{"name": str, "valueFrom": {"fieldRef": {"fieldPath": str}}}],
    "ports": [{"containerPort": int}],
    "resources": {"limits": {"nvidia.com/gpu": int, "google.com/tpu": int}},
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
}
POD = {
    "restartPolicy": str,
    "terminationGracePeriodSeconds": int,
    "nodeSelector": {str: str},
    "containers": [CONTAINER],
    "volumes": [
        {
            "name": str,
            "persistentVolumeClaim": {"claimName": str, "readOnly": bool},
            "emptyDir": {"medium": str},
        }
    ],
}
JOB = {
    "parallelism": int,
    "completions": int,
    "completionMode": str,
    "backoffLimit": int,
    "podFailurePolicy": {
        "rules": [{"action": str, "onExitCodes": {"operator": str, "values": [int]}}]
    },
    "template": {"spec": POD},
}
JOB_SET = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str, "annotations": {str: str}},
    "spec": {
        "network": {"enableDNSHostnames": bool, "subdomain": str},
        "failurePolicy": {
            "maxRestarts": int,
            "rules": [{"name": str, "action": str, "onJobFailureReasons": [str]}],
        },
        "replicatedJobs": [{"name": str, "replicas": int, "template": {"spec": JOB}}],
    },
}


def check(value, schema, where=""):
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        for key, entry in value.items():
            assert key in schema or str in schema, f"{where}.{key}: no such field"
            check(entry, schema.get(key, schema.get(str)), f"{where}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for i, entry in enumerate(value):
            check(entry, schema[0], f"{where}[{i}]")
    else:
        assert type(value) is schema, f"{where}: {value!r} is no {schema.__name__}"


@pytest.fixture(params=MANIFESTS, ids=lambda path: path.name)
def manifest(request):
    return yaml.safe_load(request.param.read_text())


def job_of(manifest):
    [replicated] = manifest["spec"]["replicatedJobs"]
    return replicated["name"], replicated["template"]["spec"]


def test_fields_and_types(manifest):
    check(manifest, JOB_SET)
    assert manifest["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert manifest["kind"] == "JobSet"


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_takes_the_jobs(manifest, version):
    validate = pytest.importorskip("kubernetes_validate").validate
    _, spec = job_of(manifest)
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": spec}
    validate(job, version, strict=True)
    spec["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": "1234"}]
    with pytest.raises(Exception, match="is not of type 'integer'"):
        validate(job, version, strict=True)


def test_a_misspelled_field_is_found(manifest):
    job_of(manifest)[1]["template"]["spec"]["containers"][0]["comand"] = ["dfm"]
    with pytest.raises(AssertionError, match=r"containers\[0\]\.comand: no such field"):
        check(manifest, JOB_SET)


def test_rules_that_the_apis_have(manifest):
    name, job = job_of(manifest)
    pod = job["template"]["spec"]
    assert NAME.fullmatch(manifest["metadata"]["name"])
    assert NAME.fullmatch(name)
    assert job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"]  # all at once, or they wait for each other
    assert pod["restartPolicy"] == "Never"  # podFailurePolicy asks for it
    [rule] = job["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["operator"] == "In"
    assert 0 not in rule["onExitCodes"]["values"]
    assert 75 not in rule["onExitCodes"]["values"]  # preempted runs go on
    [rule] = manifest["spec"]["failurePolicy"]["rules"]
    assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"])
    assert rule["action"] == "FailJobSet"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    [container] = pod["containers"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_the_command_is_one_that_dfm_takes(manifest):
    from dfm_flax.cli import _parser

    name, job = job_of(manifest)
    [container] = job["template"]["spec"]["containers"]
    command = [*container["command"], *container["args"]]
    for entry in container.get("env", []):  # as the kubelet does
        command = [text.replace(f"$({entry['name']})", "3") for text in command]
    options, rest = _parser().parse_known_args(command[1:])
    assert all(text.startswith("--config.") for text in rest)
    assert options.config in shipped_configs()
    if options.coordinator == "auto":
        assert "google.com/tpu" in container["resources"]["limits"]
        return
    assert options.num_processes == job["completions"]
    host, port = options.coordinator.split(":")
    set_name, network = manifest["metadata"]["name"], manifest["spec"]["network"]
    assert host == f"{set_name}-{name}-0-0.{network['subdomain']}"
    assert int(port) in [entry["containerPort"] for entry in container["ports"]]


def test_the_slice_has_the_hosts_that_its_topology_needs():
    manifest = yaml.safe_load(Path("launch/kubernetes/tpu_jobset.yaml").read_text())
    _, job = job_of(manifest)
    pod = job["template"]["spec"]
    rows, columns = map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
    chips = pod["containers"][0]["resources"]["limits"]["google.com/tpu"]
    assert job["completions"] * chips == rows * columns
