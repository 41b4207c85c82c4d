import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from dfm_flax.config import (
    assign,
    check,
    difference,
    flatten,
    from_json,
    load_config,
    override,
    to_json,
)
from dfm_flax.errors import UsageError


def example() -> ConfigDict:
    config = ConfigDict({"task": "compress", "seeds": (0,), "fast": True})
    config.model = ConfigDict({"depth": 4, "rate": 1e-3, "variances": (1e-2, 1e-4), "size": ()})
    config.data = ConfigDict({"images": ("a.png",)})
    return config.lock()


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("model.depth=7", "model.depth", 7),
        ("model.rate=3", "model.rate", 3.0),
        ("model.rate=5e-4", "model.rate", 5e-4),
        ("model.variances=(1, 2e-5)", "model.variances", (1.0, 2e-5)),
        ("model.variances=1,2", "model.variances", (1.0, 2.0)),
        ("model.variances=0.5", "model.variances", (0.5,)),
        ("model.size=40,50", "model.size", (40, 50)),
        ("seeds=3", "seeds", (3,)),
        ("fast=False", "fast", False),
        ("task=x=y", "task", "x=y"),
        ("data.images=b c.png,d.png", "data.images", ("b c.png", "d.png")),
        ("data.images=('e,f.png',)", "data.images", ("e,f.png",)),
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
        ("model.rate=fast", "is not a number"),
        ("model.rate=1e400", "is not a number"),
        ("model.variances=a,b", "is not a list like 0.01,0.0001"),
        ("seeds=1.5", "is not a list"),
        ("fast=1", "is not True or False"),
    ],
)
def test_override_refuses(assignment, message):
    config = example()
    with pytest.raises(UsageError) as caught:
        override(config, [assignment])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert config == example()


SETTINGS = {"task": "", "seeds": (1, 2), "model.depth": 3, "model.rate": 0.1, "model.size": (1,)}
OPTIONAL = {"fast": False}


def test_check_accepts_what_fits():
    sections = {"task": "x", "model": {"depth": 4, "rate": 3, "size": ()}}
    check(ConfigDict(sections | {"seeds": (0,), "fast": True}), "c.py", SETTINGS, OPTIONAL)
    check(ConfigDict(sections | {"seeds": [0, 1]}), "c.py", SETTINGS, OPTIONAL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"dpeth": 4}}, "c.py: model.dpeth: no such setting; did you mean model.depth?"),
        ({"seeds": None}, "c.py: seeds=None is not a list like 1,2"),
        ({"seeds": 0}, "c.py: seeds=0 is not a list like 1,2"),
        ({"fast": 1}, "c.py: fast=1 is not True or False"),
        ({"model": {"depth": 4, "rate": float("nan"), "size": ()}}, "rate=nan is not a number"),
        ({"model": {"depth": 4}}, "c.py: lacks model.rate, model.size"),
    ],
)
def test_check_refuses(changes, message):
    config = {"task": "x", "seeds": (0,), "model": {"depth": 4, "rate": 0.1, "size": ()}}
    with pytest.raises(UsageError) as caught:
        check(ConfigDict(config | changes), "c.py", SETTINGS, OPTIONAL)
    assert message in str(caught.value)


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
    assign(config, "model.rate", 3, "grid")
    assign(config, "seeds", (1, 2), "grid")
    assert config.model.rate == 3.0
    assert isinstance(config.model.rate, float)
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
