"""Every value of every config that ships, and those that the thesis gives."""

import json
from pathlib import Path

import pytest

from dfm_flax.config import flatten, load_config, shipped_configs
from dfm_flax.tasks import task_of

# A config's values, but for the first: only those that its base schema does not have.
VALUES = json.loads(Path(__file__).with_name("values.json").read_text())
BASES = (
    "base_compression",
    *(f"base_generation:{n}" for n in ("dfm", "grids", "vae", "autoencoder")),
)


def values_of(name):
    """The values of a config as `values.json` has them."""
    config = load_config(name)
    entries = flatten(config)
    if name not in BASES:
        base = flatten(task_of(config).schema(config))
        entries = {k: v for k, v in entries.items() if k not in base or base[k] != v}
    return json.loads(json.dumps(entries))


@pytest.mark.parametrize("name", VALUES)
def test_no_value_changes_unseen(name):
    """A default of a base schema is that of many configs: who changes one sees all of them here."""
    assert values_of(name) == VALUES[name]


def test_all_configs_and_variants_are_held():
    assert {name.partition(":")[0] for name in VALUES} == set(shipped_configs())


@pytest.mark.parametrize("name", [name for name in VALUES if not name.startswith("sweeps/")])
def test_each_config_is_one_of_its_task(name):
    config = load_config(name)
    task_of(config).check(config)


# What the thesis says, and what that sets.
SAID = {
    "compress": {
        "Adam at a constant learning rate of 1e-4": {
            "optimizer.name": "adam",
            "optimizer.schedule": "constant",
            "optimizer.learning_rate": 1e-4,
            "optimizer.warmup_steps": 0,
        },
        "64 random pixels a step": {"training.batch_size": 64, "training.sampling": "uniform"},
        "an image of 400x400": {"data.crop": (400, 400)},
        "frequencies k in {0, 1}^m, residual connections, positions in the unit square": {
            "model.machine.basis": ("full", "full", "full"),
            "model.machine.max_frequencies": (1, 1, 1),
            "model.machine.residual": True,
            "model.machine.extent": 1.0,
        },
        "coefficients from a Gaussian of 'variance' 2e-? (its deviation; 2e-1, then 2e-4)": {
            "model.machine.variances": (4e-2, 4e-8, 4e-8),
            "model.machine.normalize": False,
        },
        "18% of the raw size, 21,600 weights of 32 bits": {
            "model.machine.depth": 4,
            "model.machine.width": 9,
        },
    },
    "sweeps/figure_5_1": {"the mean of five seeds": {"num_seeds": 5}},
    "mnist": {
        "all 70,000 images": {"data.name": "mnist", "data.split": "all"},
        "batches of 64, all pixels of each": {
            "training.batch_size": 64,
            "loss.num_pixels": 0,
            "loss.jitter": 0.0,
        },
        "Adam at a learning rate that falls linearly from 1e-2 to 1e-7": {
            "optimizer.name": "adam",
            "optimizer.schedule": "linear",
            "optimizer.learning_rate": 1e-2,
            "optimizer.final_learning_rate": 1e-7,
            "optimizer.warmup_steps": 0,
            "optimizer.ema_decay": 0.0,
        },
        "the latents are rows of a table, with a learning rate 100 (or 1000) times smaller": {
            "model.latents": "table",
            "optimizer.latent_ratios": (100.0, 100.0),
            "optimizer.table_adam": "dense",
        },
        "lambda is 0.5 (against the sum over 28x28 pixels)": {
            "loss.latent_penalty": 0.5 / 784,
            "loss.latent_noise": 0.0,
        },
        "latents of about 120 numbers": {"model.latent_size": 120},
        "weights from a Gaussian of 'variance' 2e-2 (its deviation), biases at 0": {
            "model.init": "gaussian",
            "model.variance": 4e-4,
            "model.table_variance": 4e-4,
        },
    },
    "cifar10": {
        "all 60,000 images": {"data.name": "cifar10", "data.split": "all"},
        "batches of 512, all pixels of each": {
            "training.batch_size": 512,
            "loss.num_pixels": 0,
            "loss.jitter": 0.0,
        },
        "Adam at a learning rate that falls linearly from 1e-2 to 1e-7": {
            "optimizer.name": "adam",
            "optimizer.schedule": "linear",
            "optimizer.learning_rate": 1e-2,
            "optimizer.final_learning_rate": 1e-7,
            "optimizer.warmup_steps": 0,
            "optimizer.ema_decay": 0.0,
        },
        "the encoder's is smaller by a ratio that rises linearly from 10 to 1000": {
            "model.latents": "encoder",
            "optimizer.latent_ratios": (10.0, 1000.0),
        },
        "lambda is 200 (against the sum over 32x32 pixels)": {
            "loss.latent_penalty": 200.0 / 1024,
            "loss.latent_noise": 0.0,
        },
        "latents of about 120 numbers": {"model.latent_size": 120},
        "weights from a Gaussian of 'variance' 3e-2 (its deviation), biases at 0": {
            "model.init": "gaussian",
            "model.variance": 9e-4,
        },
    },
}
SAID["mnist:variance"] = {
    "the same, to the letter": {
        "loss.latent_penalty": 0.5,
        "model.variance": 2e-2,
        "model.table_variance": 2e-2,
        "optimizer.latent_ratios": (1000.0, 1000.0),
    }
}
SAID["cifar10:variance"] = {
    "the same, to the letter": {"loss.latent_penalty": 200.0, "model.variance": 3e-2}
}
SAID["sweeps/figure_5_1"] |= {
    said: values
    for said, values in SAID["compress"].items()
    if said != "18% of the raw size, 21,600 weights of 32 bits"
}


@pytest.mark.parametrize(
    ("name", "said"), [(name, said) for name, sentences in SAID.items() for said in sentences]
)
def test_configs_of_the_thesis_have_its_numbers(name, said):
    entries = flatten(load_config(name))
    wanted = SAID[name][said]
    assert {key: entries[key] for key in wanted} == wanted


if __name__ == "__main__":  # writes the values anew, to be looked at before they are committed
    found = {name: values_of(name) for name in VALUES}
    texts = [
        f" {json.dumps(name)}: {{\n"
        + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in values.items())
        + "\n }"
        for name, values in found.items()
    ]
    Path(__file__).with_name("values.json").write_text("{\n" + ",\n".join(texts) + "\n}\n")
