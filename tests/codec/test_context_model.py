import dataclasses

import numpy as np
import pytest

from dfm_flax.codec.context_model import LARGEST, MAX_WEIGHT, OFFSETS, ContextModel
from dfm_flax.codec.cosines import cosine_table


def random_model(neighbors=8, features=8, levels=3, seed=0, fineness=()):
    """Weights like those of trained models."""
    rng = np.random.default_rng(seed)

    def weights(deviation, *shape):
        return np.rint(rng.normal(0, deviation * 2**14, shape)).astype(np.int32)

    return ContextModel(
        scales=weights(0.06, neighbors),
        first=weights(0.1, 1 + 2 * neighbors, features),
        last=weights(0.3, 2 * features, 2),
        linear=weights(0.1, neighbors, 2),
        levels=weights(1, levels, 2),
        fineness=fineness or (0,) * levels,
    )


def by_numpy(model, neighbors, level):
    """The mean and log2 b by the formula of the series, in float64; and how far off we may be."""
    scales, first, last, linear, levels = (weights / 2**14 for weights in model.arrays)
    fineness = model.fineness[level]
    neighbors = neighbors / 2**fineness

    def waves(x):
        return np.concatenate([np.cos(2 * np.pi * x), np.sin(2 * np.pi * x)])

    x = scales[:, None] * neighbors
    h = first[:1].T + first[1:].T @ waves(x)
    o = last.T @ waves(h) + linear.T @ neighbors + levels[level][:, None]
    phase = 2 * np.pi / 4096  # what rounding a phase changes of a wave at most
    wrong_h = 2 * np.pi * np.abs(first[1:]).sum(0) * (phase + 2**-14)
    wrong_o = np.abs(last).T @ (np.tile(wrong_h, 2) + phase + 2**-14)
    o[0] *= 2**fineness
    o[1] += fineness
    return o, wrong_o * np.array([2**fineness, 1])


@pytest.mark.parametrize("fineness", [(), (0, 1, 3), (6, 0, 5)])
@pytest.mark.parametrize(("neighbors", "features"), [(1, 1), (8, 8), (14, 5)])
def test_the_series_are_those_of_real_numbers(neighbors, features, fineness):
    model = random_model(neighbors, features, fineness=fineness)
    contexts = np.random.default_rng(1).integers(-9, 10, (neighbors, 500))
    for level in range(3):
        mean, code = model.distribution(contexts, level)
        (real_mean, real_log), wrong = by_numpy(model, contexts, level)
        assert np.abs(mean / 16 - real_mean).max() <= wrong[0] + 1 / 32
        assert np.abs(code / 8 - np.clip(real_log, -5, 5)).max() <= wrong[1] + 1 / 16
        # The bounds are far apart from what is typical.
        finer = 2 ** model.fineness[level]
        assert np.sqrt(np.mean((mean / 16 - real_mean) ** 2)) < 0.03 * finer
        assert np.sqrt(np.mean((code / 8 - np.clip(real_log, -5, 5)) ** 2)) < 0.05


def by_integers(model, context, level):
    """The formulas of the documentation in Python's integers, which have no bounds."""
    scales, first, last, linear, levels = (weights.tolist() for weights in model.arrays)
    table, count, features = cosine_table().tolist(), len(scales), len(last) // 2
    s = model.fineness[level]

    def cos(phase):
        return table[phase % 4096]

    p = [c * scale >> 2 + s for c, scale in zip(context, scales, strict=True)]
    q = []
    for j in range(features):
        h = first[0][j] << 14
        for i in range(count):
            h += cos(p[i]) * first[1 + i][j] + cos(p[i] - 1024) * first[1 + count + i][j]
        q.append(h >> 16)
    o, d = [], []
    for k in range(2):
        d.append(sum(c * linear[i][k] for i, c in enumerate(context)))
        o.append(levels[level][k] << 14)
        for j in range(features):
            o[k] += cos(q[j]) * last[j][k] + cos(q[j] - 1024) * last[features + j][k]
    mean = 2**s * o[0] + 2**14 * d[0] + 2**23 >> 24
    code = o[1] + 2 ** (14 - s) * d[1] + 2**28 * s + 2**24 >> 25
    return max(-524272, min(524272, mean)), max(-40, min(40, code))


def test_the_largest_weights_and_integers_do_not_overflow():
    rng = np.random.default_rng(0)
    for trial in range(8):
        model = ContextModel(
            *(
                # The first trials have the largest sums that there are.
                (
                    np.full(shape, MAX_WEIGHT)
                    if trial < 2
                    else rng.choice([-MAX_WEIGHT, MAX_WEIGHT, 7], shape)
                ).astype(np.int32)
                for shape in ((14,), (29, 64), (128, 2), (14, 2), (1, 2))
            ),
            fineness=(6 * (trial % 4 > 1),),
        )
        contexts = rng.choice([-LARGEST, LARGEST, 1], (14, 5))
        contexts[:, 0] = (LARGEST, -LARGEST)[trial % 2]
        found = np.stack(model.distribution(contexts, 0), axis=1)
        expected = [by_integers(model, context, 0) for context in contexts.T.tolist()]
        assert found.tolist() == [list(pair) for pair in expected]


def test_neighbors_are_read_before_their_place():
    assert len(set(OFFSETS)) == len(OFFSETS)
    assert all(dx + 3 * dy < 0 for dy, dx in OFFSETS)  # on earlier fronts
    assert all(dy < 0 or (dy == 0 and dx < 0) for dy, dx in OFFSETS)
    assert all(dy >= -3 and -3 <= dx <= 2 for dy, dx in OFFSETS)  # within the margins


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": np.zeros(0, np.int32)}, "1 to 14 neighbors, not 0"),
        ({"scales": np.zeros(15, np.int32)}, "1 to 14 neighbors, not 15"),
        ({"first": np.zeros((17, 7), np.int32)}, "the weights have shapes"),
        ({"last": np.zeros((0, 2), np.int32)}, "0 features"),
        ({"last": np.zeros((15, 2), np.int32)}, "the weights have shapes"),
        ({"last": np.zeros((130, 2), np.int32)}, "65 features"),
        ({"linear": np.zeros((8, 3), np.int32)}, "the weights have shapes"),
        ({"levels": np.zeros((0, 2), np.int32)}, "0 levels"),
        ({"levels": np.zeros((33, 2), np.int32)}, "33 levels"),
        ({"levels": np.full((3, 2), MAX_WEIGHT + 1, np.int32)}, "exceeds 64"),
        ({"linear": np.full((8, 2), -(2**31), np.int32)}, "exceeds 64"),
        ({"fineness": (0, 1)}, "cannot be finer"),
        ({"fineness": (0, 1, 7)}, "cannot be finer"),
        ({"fineness": (0, -1, 1)}, "cannot be finer"),
    ],
)
def test_what_is_no_model(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(random_model(), **changes)
