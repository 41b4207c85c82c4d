import pytest

from dfm_flax.config import load_config, override
from dfm_flax.errors import UsageError
from dfm_flax.outputs import Outputs
from dfm_flax.tasks import task_of


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed=-1", "give one seed or more, from 0 to 4294967295"),
        ("num_seeds=0", "give one seed or more"),
        ("seed=4294967295", None),
        ("seed=4294967296", "give one seed or more"),
        ("data.crop=5", "give height,width"),
        ("data.crop=5,0", "give height,width"),
        ("data.crop=a,b", "give height,width"),
        ("data.crop=", None),
        ("model.machine.depth=1", "at least 2"),
        ("optimizer.schedule=step", "'step' is not one of"),
        ("training.precision=tf32", "'tf32' is not one of default, high, highest"),
        ("training.sampling=even", "'even' is not one of uniform, stratified"),
        ("training.batch_size=1e9", None),
    ],
)
def test_sense(change, message):
    config = load_config("base_compression")
    override(config, [change])
    if message is None:
        task_of(config).check(config)
        return
    with pytest.raises(UsageError, match=message):
        task_of(config).check(config)


def test_the_last_of_several_seeds_is_in_range():
    config = load_config("compress")
    override(config, ["seed=4294967290", "num_seeds=6"])
    task_of(config).check(config)
    override(config, ["num_seeds=7"])
    with pytest.raises(UsageError, match="num_seeds=7"):
        task_of(config).check(config)


def test_a_sweep_is_no_run():
    config = load_config("sweeps/rates")
    with pytest.raises(UsageError, match="config: it has a grid, and so is one of `dfm sweep`"):
        task_of(config).check(config)


def test_what_only_generation_has():
    task = task_of(load_config("compress"))
    with pytest.raises(UsageError, match="runs/a is a run of compression: no --images, no --split"):
        task.reconstruct("runs/a", Outputs("out"), images=["a.png"])
    with pytest.raises(UsageError, match="runs/a: a run of compression has no samples"):
        task.sample("runs/a", 4)


def test_the_rows_are_means_over_the_seeds():
    task = task_of(load_config("compress"))
    entry = {"weights": 50, "percent": 1.0, "mse": 0.5, "ssim": None, "ms_ssim": None, "steps": 9}
    rows = task.table(
        [{"image": "a", "psnr": psnr, "seed": seed} | entry for seed, psnr in enumerate((20, 22))]
    )
    assert [row["psnr"] for row in rows] == [21]
    assert task.after("runs/a") == "pictures: runs/a/figures"
