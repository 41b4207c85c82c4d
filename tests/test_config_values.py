import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfm_flax.config_values import as_type_of, check_seed, describe, parse, same_type
from dfm_flax.errors import UsageError

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.one_of(st.integers(), NUMBERS, st.booleans(), st.lists(st.integers(), min_size=1)))
def test_what_python_writes_is_read_back(value):
    value = tuple(value) if isinstance(value, list) else value
    read = parse(repr(value), value)
    assert read == value
    assert type(read) is type(value)


@given(st.lists(st.text(), min_size=1))
def test_json_lists_of_any_texts(texts):
    assert parse(json.dumps(texts), ("a",)) == tuple(texts)


@pytest.mark.parametrize(
    ("text", "default", "value"),
    [
        ("1e3", 0, 1000),
        ("5.0", 0, 5),
        ("[1, 2e1]", (0,), (1, 20)),
        ("[[1, 2], [3]]", ((0,),), ((1, 2), (3,))),
        ("TRUE", False, True),
        ("false", True, False),
        ("[true, false]", (True,), (True, False)),
        ("", (), ()),
        ("24,30", (), (24, 30)),
        ("my_module:term", (), ("my_module:term",)),
        ("a,b", (), ("a", "b")),
        ('["a,b"]', (), ("a,b",)),
        ("3", ("a",), ("3",)),
        ("3", None, 3),
        ("abc", None, "abc"),
        ("None", None, None),
    ],
)
def test_ways_to_write_a_value(text, default, value):
    read = parse(text, default)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "default", "message"),
    [
        ("7.5", 0, "'7.5' is not a whole number"),
        ("1e999", 0, "not a whole number"),
        ("True", 0, "not a whole number"),
        ("2", True, "'2' is not True or False"),
        ("nan", 0.0, "not a number"),
        ("None", 0.0, "not a number"),
        ("1.5,2", (0,), "not a list like 0"),
        ("", (0,), "not a list like 0"),
        ("(" * 1000, 0, "not a whole number"),
        ("[" * 100_000, (0,), "not a list"),
    ],
)
def test_texts_of_another_type(text, default, message):
    with pytest.raises(ValueError, match=message):
        parse(text, default)


def test_types_are_those_of_the_first_entry():
    assert same_type((1, 2), (0.5,))
    assert as_type_of((1, 2), (0.5,)) == (1.0, 2.0)
    assert not same_type((1, "a"), ())
    assert not same_type((1, "a"), (0,))
    assert describe("") == "a text"


def test_seeds_that_jax_tells_apart():
    check_seed(0)
    check_seed(2**32 - 1)
    for seed in (-1, 2**32, 2**64):
        with pytest.raises(UsageError, match=f"seed {seed}: a seed is from 0 to 4294967295"):
            check_seed(seed)
