import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfm_flax.codec import grids as codec
from dfm_flax.codec import native
from dfm_flax.codec.context_model import LARGEST, MAX_WEIGHT, ContextModel

GOLDEN = Path(__file__).parent / "golden_grids.npz"


def code_by(path):
    """Has grids be coded by compiled code or by NumPy, and makes sure of it."""
    if path == "numpy":
        return mock.patch.object(native, "why_not", return_value="not wanted here")
    # A test machine must have a compiler: without one the compiled code would go untested.
    assert native.why_not() == ""
    return nullcontext()


def by_both(function, *arguments):
    """What a function gives on both paths, or the string "refused" where it raises ValueError."""
    results = []
    for path in ("compiled", "numpy"):
        with code_by(path):
            try:
                results.append(function(*arguments))
            except ValueError:
                results.append("refused")
    return results


@pytest.fixture(params=["compiled", "numpy"])
def path(request):
    with code_by(request.param):
        yield request.param


def make_model(neighbors, features, levels, seed, extreme=False, finer=False):
    rng = np.random.default_rng(seed)

    def weights(deviation, *shape):
        if extreme:
            return rng.choice([-MAX_WEIGHT, MAX_WEIGHT], shape).astype(np.int32)
        return np.rint(rng.normal(0, deviation * 2**14, shape)).astype(np.int32)

    return ContextModel(
        weights(0.1, neighbors),
        weights(0.3, 1 + 2 * neighbors, features),
        weights(0.5, 2 * features, 2),
        weights(0.1, neighbors, 2),
        weights(2, levels, 2),
        tuple(rng.integers(0, 7, levels).tolist()) if finer else (0,) * levels,
    )


def make_grids(shapes, seed, spread=1.0, outliers=0.0):
    rng = np.random.default_rng(seed)
    grids = []
    for shape in shapes:
        grid = np.clip(np.rint(rng.laplace(0, spread, shape)), -LARGEST, LARGEST).astype(np.int32)
        far = rng.integers(-LARGEST, LARGEST + 1, shape, np.int32)
        grids.append(np.where(rng.random(shape) < outliers, far, grid))
    return grids


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.int32
        np.testing.assert_array_equal(a, b)


cases = st.fixed_dictionaries(
    {
        "shapes": st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
        "neighbors": st.integers(1, 14),
        "features": st.integers(1, 9),
        "seed": st.integers(0, 2**32),
        "spread": st.sampled_from([0.1, 1, 30, 1000]),
        "outliers": st.sampled_from([0, 0.1, 1]),
        "extreme": st.booleans(),
        "finer": st.booleans(),
    }
)


def from_case(case):
    model = make_model(
        *(case["neighbors"], case["features"], len(case["shapes"])),
        *(case["seed"], case["extreme"], case["finer"]),
    )
    return make_grids(case["shapes"], case["seed"], case["spread"], case["outliers"]), model


@settings(max_examples=40, deadline=None)
@given(cases)
def test_round_trips_on_both_paths(case):
    grids, model = from_case(case)
    compiled, by_numpy = by_both(codec.encode, grids, model)
    np.testing.assert_array_equal(compiled, by_numpy)
    for decoded in by_both(codec.decode, compiled, case["shapes"], model):
        assert_same(decoded, grids)


@settings(max_examples=20, deadline=None)
@given(cases)
def test_lengths_are_those_of_the_words(case):
    grids, model = from_case(case)
    compiled, by_numpy = by_both(codec.lengths, grids, model)
    for a, b, grid in zip(compiled, by_numpy, grids, strict=True):
        assert a.shape == grid.shape
        np.testing.assert_array_equal(a, b)
    bits = sum(length.sum() for length in compiled)
    assert bits <= 32 * len(codec.encode(grids, model)) <= bits + 64 + 0.001 * bits


def test_lengths_of_many_integers():
    grids = make_grids([(301, 203), (151, 102)], 0, spread=0.3)
    model = make_model(8, 8, 2, 1)
    bits = sum(length.sum() for length in codec.lengths(grids, model))
    assert abs(32 * len(codec.encode(grids, model)) - bits) < 64


def test_words_are_those_of_before(path):
    """No change may alter them: files of version 3 consist of such words."""
    golden = np.load(GOLDEN)
    names = ("scales", "first", "last", "linear", "levels")
    weights = [golden[name] for name in names]
    model = ContextModel(*weights, (0,) * len(weights[-1]))
    grids = [golden[f"grid_{i}"] for i in range(len(model.levels))]
    assert max(abs(grid).max() for grid in grids) > 1000  # it has escapes
    np.testing.assert_array_equal(codec.encode(grids, model), golden["words"])
    assert_same(codec.decode(golden["words"], [grid.shape for grid in grids], model), grids)


@settings(max_examples=40, deadline=None)
@given(cases, st.integers(0, 2**32), st.sampled_from(["bits", "cut", "random", "ones", "zeros"]))
def test_both_paths_say_the_same_of_damaged_words(case, seed, damage):
    grids, model = from_case(case)
    rng = np.random.default_rng(seed)
    words = codec.encode(grids, model)
    if damage == "bits":
        words[rng.integers(len(words))] ^= np.uint32(1 << rng.integers(32))
    elif damage == "cut":
        words = words[: rng.integers(len(words))]
    else:
        values = {"random": rng.integers(0, 2**32, len(words)), "ones": 2**32 - 1, "zeros": 0}
        words = np.broadcast_to(values[damage], words.shape).astype(np.uint32)
    compiled, by_numpy = by_both(codec.decode, words, case["shapes"], model)
    if "refused" in (compiled, by_numpy):
        assert compiled == by_numpy
    else:
        assert_same(compiled, by_numpy)
        assert max(abs(grid).max() for grid in compiled) <= LARGEST


def test_words_of_nothing_but_escapes_end_in_time(path):
    """An integer takes at most 36 bits beside its symbol, whatever the words."""
    model = make_model(8, 8, 1, 0)
    words = np.random.default_rng(0).integers(0, 2**32, 20_000).astype(np.uint32)
    model.levels[:] = 5 << 14  # the widest tables: an integer in seven is an escape
    start = time.process_time()
    with pytest.raises(ValueError, match=r"damaged|more in it|too large"):
        codec.decode(words, [(64, 64)], model)
    assert time.process_time() - start < 5


def test_words_that_are_refused(path):
    model = make_model(8, 8, 1, 0)
    grids = make_grids([(20, 30)], 0)
    words = codec.encode(grids, model)
    with pytest.raises(ValueError, match="more in it than its grids"):
        codec.decode(np.append(words, [0, 0]), [(20, 30)], model)
    with pytest.raises(ValueError, match="damaged"):
        codec.decode(np.full(3, 2**32 - 1), [(20, 30)], model)


def test_integers_beyond_the_largest_are_refused(path):
    """The mean follows the left neighbor and five more: the row runs away."""
    model = make_model(1, 1, 1, 0)
    for weights in model.arrays:
        weights[:] = 0
    model.linear[0, 0] = MAX_WEIGHT
    words = codec.encode([np.array([[63]], np.int32)], model)
    with pytest.raises(ValueError, match="too large"):
        codec.decode(words, [(1, 8)], model)


def test_what_cannot_be_coded(path):
    model = make_model(8, 8, 1, 0)
    for value in (LARGEST + 1, -LARGEST - 1, -(2**31)):
        grid = np.full((2, 2), value, np.int32)
        for function in (codec.encode, codec.lengths):
            with pytest.raises(ValueError, match="above 32767"):
                function([grid], model)
    with pytest.raises(ValueError, match="2 grids for a context model of 1"):
        codec.encode([np.zeros((2, 2), np.int32)] * 2, model)
    with pytest.raises(ValueError, match="empty"):
        codec.decode(np.zeros(1, np.uint32), [(0, 5)], model)


def test_arrays_may_lie_anyhow_in_memory(path):
    grids, model = make_grids([(7, 11)], 3), make_model(8, 8, 1, 3)
    words = codec.encode(grids, model)
    turned = (np.asfortranarray(weights) for weights in model.arrays)
    turned = ContextModel(*turned, model.fineness)
    np.testing.assert_array_equal(codec.encode([np.asfortranarray(grids[0])], turned), words)
    backwards = words[::-1].copy()[::-1]
    assert_same(codec.decode(backwards, [(7, 11)], model), grids)


def test_a_missing_compiler_is_told():
    native._loaded.cache_clear()
    try:
        with mock.patch("importlib.util.find_spec", return_value=None):
            assert "install a C++ compiler" in native.why_not()
    finally:
        native._loaded.cache_clear()
