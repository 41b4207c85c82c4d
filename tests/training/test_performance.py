import jax
import numpy as np
import pytest

from dfm_flax.training.loop import Progress
from dfm_flax.training.performance import performance
from dfm_flax.training.profiling import Profile


def test_metrics_of_speed():
    seconds = {"steps": 2.0, "log": 0.5, "checkpoint": 0.25}
    progress = Progress(10, {}, 5.0, seconds, state=None)
    metrics = performance(progress, batch_size=64, operations=3e9)
    assert metrics["speed/examples_per_second"] == 320
    assert metrics["speed/useful_gigaflops"] == pytest.approx(15)
    assert 0.01 < metrics["memory/gigabytes"] < 1000
    assert {name: metrics[f"seconds/{name}"] for name in seconds} == seconds


def test_a_profile_covers_whole_dispatches_after_the_first(tmp_path):
    profile = Profile(tmp_path, 15)

    @jax.jit
    def named_work(x):
        return x @ x

    for done in range(0, 60, 10):
        profile.before_dispatch(done)
        with jax.profiler.TraceAnnotation(f"dispatch_{done}"):
            jax.block_until_ready(named_work(np.ones((8, 8), np.float32)))
    profile.end()
    [file] = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    trace = jax.profiler.ProfileData.from_file(str(file))
    names = {event.name for plane in trace.planes for line in plane.lines for event in line.events}
    assert {name for name in names if name.startswith("dispatch_")} == {
        "dispatch_10",
        "dispatch_20",
    }


def test_a_run_that_ends_early_still_has_its_profile(tmp_path):
    profile = Profile(tmp_path, 1000)
    profile.before_dispatch(0)
    profile.before_dispatch(10)
    profile.end()
    profile.end()
    assert len(list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))) == 1
