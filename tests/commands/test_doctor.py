"""What `dfm doctor` finds, and that it finds what is wrong."""

import jax
import numpy as np
import pytest

from dfm_flax import doctor
from dfm_flax.commands import doctor as command
from dfm_flax.doctor import Finding, examine


@pytest.mark.slow
def test_a_machine_that_works(dfm, tmp_path):
    """With two processes that sum, and two devices that agree with one."""
    process = dfm("doctor", "--data-dir", tmp_path, devices=2, check=0)
    lines = process.stdout.splitlines()
    assert lines[-1] == "OK"
    found = dict(line.split(maxsplit=1) for line in lines[:-1])
    assert found["devices"] == "2 x cpu cpu"
    assert found["pmap"].startswith("5 steps on 2 devices and on one: weights")
    assert found["processes"].startswith("by gloo: a megabyte summed over 2 processes in")
    assert "grain" in found["versions"]


def test_what_is_wrong_is_told_at_the_end(monkeypatch, capsys):
    findings = [Finding("devices", "1 x cpu"), Finding("pmap", "1.0 apart", "do not train here")]
    monkeypatch.setattr(doctor, "examine", lambda data_dir: iter(findings))
    from dfm_flax.cli import main

    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "pmap: do not train here"
    assert command.__doc__


def test_devices_that_disagree(monkeypatch):
    weights = [{"w": np.ones(3)}, {"w": np.array([1.0, 1.0, 1.01])}]
    monkeypatch.setattr(doctor, "_trained", lambda num_devices: weights.pop())
    finding = doctor._pmap()
    assert (
        finding.found
        == f"5 steps on {jax.device_count()} devices and on one: weights 9.9e-03 apart"
    )
    assert finding.cure


def test_processes_that_cannot_sum(monkeypatch):
    monkeypatch.setattr(doctor.sys, "executable", "false")
    finding = doctor._two_processes()
    assert finding.found == "two processes by gloo: exit code 1"
    assert finding.cure


def test_a_gpu_that_jax_does_not_use(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    if jax.default_backend() == "cpu":
        assert "cuda12" in doctor._devices().cure


def test_what_was_not_foreseen_is_a_finding(monkeypatch, tmp_path):
    def broken():
        raise RuntimeError("no driver\nat all")

    for look in ("_pmap", "_two_processes", "_devices"):
        monkeypatch.setattr(doctor, look, broken)
    findings = {finding.what: finding for finding in examine(str(tmp_path))}
    assert findings["pmap"].found == "RuntimeError: no driver at all"
    assert findings["pmap"].cure
    assert not findings["data sets"].cure
