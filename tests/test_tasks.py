import pytest
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.outputs import Outputs
from dfm_flax.tasks import TASKS, Task, task_of, train


def test_each_task_is_found_by_its_name():
    assert TASKS.names() == ["compression", "generation"]
    for name in TASKS.names():
        assert task_of(ConfigDict({"task": name})).name == name


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"task": "compress"}, "config.task='compress' is now 'compression'"),
        ({"task": "generate"}, "config.task='generate' is now 'generation'"),
        ({"task": "compresion"}, "not one of compression, generation.* mean 'compression'?"),
        ({"task": 3}, "config.task=3 is not one of compression, generation"),
        ({}, "config.task=None is not one of"),
        ({"task": "no_module:Task"}, "task 'no_module:Task' cannot be imported: ModuleNotFound"),
    ],
)
def test_tasks_that_do_not_exist(config, message):
    with pytest.raises(UsageError, match=message):
        task_of(ConfigDict(config))


class Counting(Task):
    """Trains nothing, and tells what it was asked for."""

    name = "counting"

    def schema(self, config):
        return ConfigDict({"task": "", "number": 0})

    def check_sense(self, config):
        if config.number < 0:
            raise UsageError("number: 0 or more")

    def train(self, config, workdir, profile_steps=0):
        return [{"number": config.number, "workdir": workdir}]

    def after(self, workdir):
        return ""


def test_a_task_by_import_path(monkeypatch, tmp_path):
    (tmp_path / "my_tasks.py").write_text("from dfm_flax.tasks import Task\nclass Mine(Task): ...")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TypeError, match="abstract"):
        task_of(ConfigDict({"task": "my_tasks:Mine"}))


def test_a_config_is_checked_for_keys_then_for_sense():
    task = Counting()
    task.check(ConfigDict({"task": "counting", "number": 1}))
    with pytest.raises(UsageError, match=r"c\.py: lacks number"):
        task.check(ConfigDict({"task": "counting"}), "c.py")
    with pytest.raises(UsageError, match="number: 0 or more"):
        task.check(ConfigDict({"task": "counting", "number": -1}))


def test_what_a_task_does_not_say_of_itself():
    task = Counting()
    configs = [ConfigDict({"number": number}) for number in (1, 2)]
    assert task.train_together(configs, ["a", "b"]) == [
        {"number": 1, "workdir": "a"},
        {"number": 2, "workdir": "b"},
    ]
    assert task.table([{"number": 1}]) == [{"number": 1}]
    for what, use in {
        "reconstructions": lambda: task.reconstruct("runs/a", Outputs("out")),
        "samples": lambda: task.sample("runs/a", 4),
        "interpolations": lambda: task.interpolate("runs/a", 0, 1, 4),
        "evaluation": lambda: task.evaluate(["runs/a"]),
    }.items():
        with pytest.raises(UsageError, match=f"runs/a: a run of counting has no {what}"):
            use()


def test_train_asks_the_task_of_the_config(monkeypatch, tmp_path):
    monkeypatch.setattr("dfm_flax.compression.task.CompressionTask", Counting)
    config = ConfigDict({"task": "compression", "number": 3})
    assert train(config, tmp_path) == [{"number": 3, "workdir": tmp_path}]


def test_evaluation_passes_its_options_on(monkeypatch, tmp_path):
    (tmp_path / "my_metrics.py").write_text(
        "def evaluate(workdirs, num):\n    return [{'run': run, 'num': num} for run in workdirs]"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Counting, "evaluator", "my_metrics:evaluate")
    results = Counting().evaluate(["a", "b"], num=2)
    assert results == [{"run": "a", "num": 2}, {"run": "b", "num": 2}]
