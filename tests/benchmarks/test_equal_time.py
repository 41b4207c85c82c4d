import numpy as np
import pytest

from dfm_flax.benchmarks.equal_time import Contender, ablations, contenders, count
from dfm_flax.data.positions import Target


@pytest.mark.parametrize("weights", [21_600, 3_500])
def test_contenders_have_about_the_same_weights(weights):
    for contender in contenders(weights):
        assert 0.9 * weights < count(contender.model) < 1.01 * weights, contender.name


def test_ablations_change_one_thing_and_keep_the_size():
    best, *others = ablations(21_600)
    assert len({contender.name for contender in others}) == len(others)
    for other in others:
        assert 0.85 * 21_600 < count(other.model) <= 21_600, other.name
        changed = (
            other.model != best.model,
            (other.batch_size, other.sampling) != (best.batch_size, best.sampling),
            other.optimizer.args[0] != best.optimizer.args[0],
        )
        assert sum(changed) == 1, other.name


def test_a_contender_counts_its_steps_and_its_time():
    image = np.full((8, 8, 3), 0.25, np.float32)
    template = contenders(3_500)[1]
    contender = Contender("best", template.model, template.optimizer, 64, "uniform")
    contender.start(300, Target.stack([image]), seed=0)
    contender.turn(200)
    contender.turn(200)  # only 100 are left
    assert contender.steps == 300
    assert contender.seconds > 0
    assert contender.look(image) > 20
