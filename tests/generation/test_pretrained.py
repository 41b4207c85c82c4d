import dataclasses
import hashlib

import jax
import numpy as np
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.generation.generator import ImageShape, initial_params, make_generator
from dfm_flax.generation.pretrained import SHIPPED, export, load_pretrained
from dfm_flax.generation.priors.flow import Flow
from dfm_flax.generation.sampling import TrainedGenerator

SHA256 = "9b25c566e7100b95d9bd61aee6d9ff78a074c0b7c324e4a8f50bbdf6df2df4fc"  # of the shipped file
SHAPE = ImageShape(8, 8, 1)


class Trained(TrainedGenerator):
    """With latents that need no run."""

    latents = np.random.default_rng(0).normal(2, 3, (50, 4)).astype(np.float32)


def trained(small, variant, tmp_path):
    config = small(variant)
    model = make_generator(config, SHAPE)
    params = jax.jit(lambda rng: initial_params(model, rng, 4, SHAPE))(jax.random.PRNGKey(0))
    run = type("Run", (), {"folder": tmp_path / "run"})()
    made = object.__new__(Trained)
    for field, value in zip(
        dataclasses.fields(TrainedGenerator),
        (run, config, 60, model, params, SHAPE, 50, np.arange(50)),
        strict=True,
    ):
        object.__setattr__(made, field.name, value)
    return made


@pytest.mark.parametrize("variant", ["dfm", "vae"])
def test_a_file_samples_as_the_run_does(small, tmp_path, variant):
    generator = trained(small, variant, tmp_path)
    file = tmp_path / "g.npz"
    export(generator, file)
    again = load_pretrained(file)
    assert set(again.params) == {"decoder"}
    for prior in ("normal", "gaussian"):
        np.testing.assert_array_equal(
            again.sample(5, prior, seed=3), generator.sample(5, prior, seed=3)
        )
    if variant == "dfm":
        assert again.sample(2, size=(5, 7)).shape == (2, 5, 7, 1)
    with pytest.raises(UsageError, match="prior 'gmm' is not in this file, which has"):
        again.sample(1, "gmm")
    assert file.stat().st_size < 100_000


def test_a_file_has_the_classes_of_its_priors(small, tmp_path, monkeypatch):
    monkeypatch.setattr(Flow, "num_steps", 1)
    labels = np.arange(50) % 2
    monkeypatch.setattr(Trained, "_labels", labels)
    generator = trained(small, "dfm", tmp_path)
    export(generator, tmp_path / "g.npz", ["flow", "normal"])
    again = load_pretrained(tmp_path / "g.npz")
    np.testing.assert_array_equal(
        again.sample(3, "flow", label=1), generator.sample(3, "flow", label=1)
    )
    with pytest.raises(UsageError, match="class 2: prior 'flow' has classes 0 to 1"):
        again.sample(3, "flow", label=2)
    with pytest.raises(UsageError, match="prior 'normal' of this file knows no classes"):
        again.sample(3, "normal", label=1)


@pytest.mark.parametrize("place", [0.05, 0.3, 0.5, 0.7, 0.9])
def test_a_damaged_file_is_one_line(small, tmp_path, place):
    file = tmp_path / "g.npz"
    export(trained(small, "dfm", tmp_path), file)
    data = bytearray(file.read_bytes())
    data[int(place * len(data))] ^= 0x55
    file.write_bytes(data)
    with pytest.raises(UsageError, match=r"g\.npz: cannot be read as a generator") as caught:
        load_pretrained(file)
    assert "\n" not in str(caught.value)


def test_what_there_is_not(tmp_path):
    with pytest.raises(UsageError, match="--pretrained nonsense: no such file"):
        load_pretrained("nonsense")
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(UsageError, match="cannot be read as a generator"):
        load_pretrained(tmp_path / "other.npz")


def test_the_generator_of_mnist_ships_and_draws_digits():
    """Its checksum, and what pictures of digits have in common: dark edges, bright strokes."""
    file = SHIPPED / "mnist.npz"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == SHA256
    generator = load_pretrained("mnist")
    assert generator.config.data.data_dir == ""
    for prior in ("normal", "gaussian"):
        images = generator.sample(200, prior)
        assert images.shape == (200, 28, 28, 1)
        edge = np.ones((28, 28), bool)
        edge[2:-2, 2:-2] = False
        assert images[:, edge].mean() < 0.03
        assert 0.08 < images.mean() < 0.2  # 0.13 in MNIST
        assert np.mean(images.max(axis=(1, 2, 3)) > 0.8) > 0.9
        assert images.std(axis=0)[8:20, 8:20].mean() > 0.2  # not one digit alone
