import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from dfm_flax.config import (
    RENAMED,
    assign,
    check,
    difference,
    flatten,
    from_json,
    load_config,
    override,
    shipped_configs,
    summary,
    to_json,
)
from dfm_flax.errors import UsageError


def example() -> ConfigDict:
    config = ConfigDict({"task": "compress", "seeds": (0,), "fast": True})
    config.model = ConfigDict(
        {"depth": 4, "learning_rate": 1e-3, "variances": (1e-2, 1e-4), "size": ()}
    )
    config.data = ConfigDict({"images": ("a.png",)})
    return config.lock()


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("model.depth=7", "model.depth", 7),
        ("model.depth=1e3", "model.depth", 1000),
        ("model.learning_rate=3", "model.learning_rate", 3.0),
        ("model.learning_rate=5e-4", "model.learning_rate", 5e-4),
        ("model.variances=(1, 2e-5)", "model.variances", (1.0, 2e-5)),
        ("model.variances=1,2", "model.variances", (1.0, 2.0)),
        ("model.variances=0.5", "model.variances", (0.5,)),
        ("model.size=40,50", "model.size", (40, 50)),
        ("seeds=3", "seeds", (3,)),
        ("seeds=1e3,2", "seeds", (1000, 2)),
        ("fast=False", "fast", False),
        ("fast=true", "fast", True),
        ("fast=0", "fast", False),
        ("task=x=y", "task", "x=y"),
        ("data.images=b c.png,d.png", "data.images", ("b c.png", "d.png")),
        ("data.images=('e,f.png',)", "data.images", ("e,f.png",)),
        ('data.images=["e,f.png", "g.png"]', "data.images", ("e,f.png", "g.png")),
    ],
)
def test_override(assignment, key, value):
    config = example()
    override(config, [assignment])
    assert flatten(config)[key] == value
    assert type(flatten(config)[key]) is type(value)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("model.detph=7", "did you mean --config.model.depth?"),
        ("depth=7", "did you mean --config.model.depth?"),
        ("nonsense=7", "there are data.images, fast"),
        ("model=7", "--config.model: no such setting"),
        ("model.depth=x", "'x' is not a whole number"),
        ("model.depth=7.5", "is not a whole number"),
        ("model.depth=True", "is not a whole number"),
        ("model.depth", "give a value"),
        ("model.learning_rate=fast", "is not a number"),
        ("model.learning_rate=1e400", "is not a number"),
        ("model.variances=a,b", "is not a list like 0.01,0.0001"),
        ("seeds=1.5", "is not a list"),
        ("fast=2", "is not True or False"),
        ("seeds=[1, 2", "is not a list like 0"),
    ],
)
def test_override_refuses(assignment, message):
    config = example()
    with pytest.raises(UsageError) as caught:
        override(config, [assignment])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert config == example()


SCHEMA = ConfigDict(
    {
        "task": "",
        "seeds": (1, 2),
        "fast": False,
        "model": {"depth": 3, "learning_rate": 0.1, "size": ()},
    }
)


def test_check_accepts_what_fits():
    sections = {"task": "x", "fast": True, "model": {"depth": 4, "learning_rate": 3, "size": ()}}
    check(ConfigDict(sections | {"seeds": (0,)}), "c.py", SCHEMA)
    check(ConfigDict(sections | {"seeds": [0, 1]}), "c.py", SCHEMA)
    sections["model"]["size"] = ("a", "b")  # a list without a value in the schema takes any
    check(ConfigDict(sections | {"seeds": (0,)}), "c.py", SCHEMA)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"dpeth": 4}}, "c.py: model.dpeth: no such setting; did you mean model.depth?"),
        ({"seeds": None}, "c.py: seeds=None is not a list like 1,2"),
        ({"seeds": 0}, "c.py: seeds=0 is not a list like 1,2"),
        ({"fast": 1}, "c.py: fast=1 is not True or False"),
        (
            {"model": {"depth": 4, "learning_rate": float("nan"), "size": ()}},
            "learning_rate=nan is not a number",
        ),
        ({"model": {"depth": 4}}, "c.py: lacks model.learning_rate, model.size"),
    ],
)
def test_check_refuses(changes, message):
    config = {
        "task": "x",
        "seeds": (0,),
        "fast": True,
        "model": {"depth": 4, "learning_rate": 0.1, "size": ()},
    }
    with pytest.raises(UsageError) as caught:
        check(ConfigDict(config | changes), "c.py", SCHEMA)
    assert message in str(caught.value)


def with_keys(*keys: str) -> ConfigDict:
    """A config of these keys, 0 all."""
    entries: dict = {}
    for key in keys:
        section = entries
        *above, last = key.split(".")
        for name in above:
            section = section.setdefault(name, {})
        section[last] = 0
    return ConfigDict(entries)


@pytest.mark.parametrize("old", RENAMED)
def test_a_key_that_has_another_name_now_is_answered_with_it(old):
    new = RENAMED[old]
    schema = with_keys(*new)
    with pytest.raises(UsageError) as caught:
        override(schema, [f"{old}=1"])
    answer = " and ".join(f"--config.{name}" for name in new)
    assert str(caught.value) == f"--config.{old}: is now {answer}"
    with pytest.raises(UsageError, match=rf"config.grid: {old}: is now {new[0]}"):
        assign(schema, old, 1, "config.grid")
    with pytest.raises(UsageError, match=rf"--config\.grid\.{old}: is now --config\.grid\."):
        override(with_keys(*(f"grid.{name}" for name in new)), [f"grid.{old}=1"])
    with pytest.raises(UsageError, match=rf"c\.py: {old}: is now {new[0]}"):
        check(with_keys(old), "c.py", schema)


def test_a_value_that_has_another_name_now_is_answered_with_it():
    schema = ConfigDict({"model": {"init": "centered"}})
    with pytest.raises(UsageError, match=r"model\.init='sane' is now 'centered'"):
        check(ConfigDict({"model": {"init": "sane"}}), "c.py", schema)


values = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.booleans())


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda key: "." not in key),
        st.one_of(values, st.lists(values).map(tuple)),
    )
)
def test_json_keeps_every_value_and_type(entries):
    config = ConfigDict(entries)
    again = from_json(to_json(config))
    assert difference(config, again) == []
    assert {k: type(v) for k, v in config.items()} == {k: type(v) for k, v in again.items()}


def test_difference_names_changed_added_and_absent():
    ours, theirs = example(), example()
    with theirs.unlocked():
        theirs.model.depth = 5
        theirs.extra = 1
    assert difference(ours, theirs) == ["model.depth: 4 -> 5", "extra: (absent) -> 1"]


def test_load_config(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config(name='none'): return ConfigDict({'name': name})\n"
    )
    assert load_config(str(path)).name == "none"
    assert load_config(f"{path}:deep").name == "deep"
    assert load_config(f"{path}:a.py:b").name == "a.py:b"
    with_colon = tmp_path / "a:b" / "c.py"
    with_colon.parent.mkdir()
    path.rename(with_colon)
    assert load_config(str(with_colon)).name == "none"
    assert load_config(f"{with_colon}:deep").name == "deep"


def test_a_config_that_ships_is_known_by_its_name():
    assert {"compress", "base_compression", "sweeps/figure_5_1"} <= set(shipped_configs())
    assert load_config("compress").training.num_steps == 100_000
    assert load_config("sweeps/figure_5_1").grid.model.machine.depth == (2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("compres", "config compres: no such file, and none of this name ships; did you mean comp"),
        ("xyz:a", "config xyz: no such file, and none of this name ships; see `dfm configs`"),
        ("else/where/mnist.py", "no such file; the one that ships is called mnist"),
        (__file__.removesuffix(".py"), "no such file, and none of this name ships"),
        ("compress:5", "config compress: TypeError: get_config"),
    ],
)
def test_names_that_are_not_known(source, message):
    with pytest.raises(UsageError) as caught:
        load_config(source)
    assert message in str(caught.value)


def test_the_settings_of_a_config_can_be_changed_but_there_are_no_others():
    config = load_config("compress")
    config.model.machine.depth = 3
    with pytest.raises((AttributeError, KeyError), match="detph"):
        config.model.machine.detph = 3


def test_every_shipped_config_says_what_it_is_and_how_it_is_run():
    for name, file in shipped_configs().items():
        assert 20 < len(summary(file)) <= 100, name
        assert summary(file).endswith((".", ",")), name
        command = "sweep" if name.startswith("sweeps/") else "train"
        if not name.startswith("base_"):
            assert f"dfm {command} --config {name} --workdir runs/" in file.read_text(), name


def test_a_config_is_read_beside_its_neighbors(tmp_path):
    """Its folder is importable while it is read, and what it imports there is its own."""
    path = list(sys.path)
    for value, project in enumerate(("a", "b")):
        folder = tmp_path / project / "my_configs"
        folder.mkdir(parents=True)
        (folder / "shared_numbers.py").write_text(f"VALUE = {value}\n")
        (folder / "c.py").write_text(
            "from ml_collections import ConfigDict\n"
            "from shared_numbers import VALUE\n"
            "def get_config():\n"
            "    from my_configs import shared_numbers\n"
            "    assert shared_numbers.VALUE == VALUE\n"
            "    return ConfigDict({'value': VALUE})\n"
        )
        assert load_config(folder / "c.py").value == value
        assert sys.path == path
        assert not {"shared_numbers", "my_configs", "dfm_config_c"} & set(sys.modules)


def test_a_config_may_have_dataclasses_and_change_the_path(tmp_path):
    (tmp_path / "c.py").write_text(
        "from __future__ import annotations\n"
        "import sys\n"
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "from ml_collections import ConfigDict\n"
        "sys.path.append('/of/the/config')\n"
        "@dataclass\n"
        "class Model:\n"
        "    depth: ClassVar[int] = 4\n"
        "def get_config(): return ConfigDict({'depth': Model().depth})\n"
    )
    assert load_config(tmp_path / "c.py").depth == 4
    assert sys.path.pop() == "/of/the/config"


def test_a_config_that_reads_one_that_fails(tmp_path):
    (tmp_path / "c.py").write_text(
        "from dfm_flax.config import load_config\n"
        "def get_config(): return load_config('compress_best:few')\n"
    )
    with pytest.raises(UsageError) as caught:
        load_config(tmp_path / "c.py")
    assert str(caught.value).startswith(f"config {tmp_path / 'c.py'}: config compress_best: Value")


def test_shipped_configs_are_found_from_any_folder(tmp_path):
    package = Path(__file__).parents[1]
    code = "from dfm_flax.config import load_config as l; print(l('compress').data.crop)"
    process = subprocess.run(  # fresh, as it is about what is found by an import
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(package)},
    )
    assert process.stdout == "(400, 400)\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("x = (", "SyntaxError"),
        ("x = 1", "AttributeError"),
        ("def get_config(): raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("def get_config(): return {}", "ConfigDict"),
        ("import sys; sys.exit(0)", "SystemExit"),
        (
            "import ml_collections\ndef get_config(): return ml_collections.ConfigDict({'a': {1}})",
            "TypeError: .* set is not JSON serializable",
        ),
    ],
)
def test_load_config_refuses(tmp_path, text, message):
    path = tmp_path / "c.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_config(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", "3"])
def test_what_is_no_stored_config(text):
    with pytest.raises(ValueError, match=r"Expecting|not a config"):
        from_json(text)


def test_assign_sets_values_of_the_right_type():
    config = example()
    assign(config, "model.learning_rate", 3, "grid")
    assign(config, "seeds", (1, 2), "grid")
    assert config.model.learning_rate == 3.0
    assert isinstance(config.model.learning_rate, float)
    assert config.seeds == (1, 2)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.detph", 7, r"grid: model\.detph: no such setting; did you mean model\.depth\?"),
        ("model.depth", 7.5, r"grid: model\.depth: 7\.5 is not a whole number"),
        ("seeds", 1, r"grid: seeds: 1 is not a list"),
    ],
)
def test_assign_refuses(key, value, message):
    with pytest.raises(UsageError, match=message):
        assign(example(), key, value, "grid")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(int, "3", 3), (int, "1e3", 1000), (str, "3", "3"), (float, "3", 3.0), (bool, "true", True)],
)
def test_a_placeholder_is_set_by_its_type(kind, text, value):
    config = ConfigDict({"section": {"entry": placeholder(kind)}})
    override(config, [f"section.entry={text}"])
    assert config.section.entry == value
    assert type(config.section.entry) is kind


def test_a_placeholder_takes_no_other_type():
    config = ConfigDict({"seed": placeholder(int), "any": None})
    with pytest.raises(UsageError, match="seed: 'abc' is not a whole number"):
        override(config, ["seed=abc"])
    override(config, ["any=3"])
    assert config.to_dict() == {"seed": None, "any": 3}


@pytest.mark.parametrize("name", shipped_configs())
def test_a_copy_of_a_shipped_config_works_alone(tmp_path, name):
    copied = tmp_path / "copy.py"
    shutil.copy(shipped_configs()[name], copied)
    assert load_config(copied) == load_config(name)


def test_names_with_commas_are_written_as_json():
    config = load_config("compress")
    override(config, ['data.images=["a,b.png", "c.png"]'])
    assert config.data.images == ("a,b.png", "c.png")
