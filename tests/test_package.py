import dataclasses
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import numpy as np
import PIL.Image
import pytest

import dfm_flax as dfm

# (names, what is said of them), from the lists of the docstring.
LISTED = re.findall(r"^    ((?:\w+, )*\w+)  +(\S.*)$", inspect.getdoc(dfm), re.MULTILINE)
NAMES = [name for names, _ in LISTED for name in names.split(", ")]


def test_the_docstring_lists_all_names_once():
    assert sorted(NAMES) == sorted(dfm.__all__)
    assert set(NAMES) <= set(dir(dfm))


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there_and_explained(name):
    thing = getattr(dfm, name)
    if name == "__version__":
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())[
            "project"
        ]
        assert thing == project["version"]
        return
    assert thing.__name__ == name
    assert thing.__module__.startswith("dfm_flax.")
    assert inspect.getdoc(thing)


def test_another_name_is_not():
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = dfm.Nonsense


@pytest.mark.slow
def test_the_lines_of_the_docstring_run(tmp_path, monkeypatch):
    """As they stand there, but for the sizes of machines and how long they are trained."""
    (code,) = re.findall(r"(    import dfm_flax as dfm\n.*?)\n\n\w", dfm.__doc__, re.DOTALL)
    lines = inspect.cleandoc(code)
    for there, here in {
        "bpp=0.3": "bpp=2.0, num_steps=20",
        "training.num_steps=2000": "training.num_steps=20",
        '=20"]': '=20", *SMALL]',
    }.items():
        assert there in lines
        lines = lines.replace(there, here)
    small = ["model.hidden=16", "model.encoder_hidden=16", "model.latent_size=4"]
    small += ["training.log_every=10", "training.checkpoint_every=20", "observe_every=20"]
    small += ["optimizer.warmup_steps=5"]
    from dfm_flax.evaluation import classifier_features as classifier

    recipe = dataclasses.replace(classifier.RECIPE, num_steps=20, width=4)
    monkeypatch.setattr(classifier, "RECIPE", recipe)
    monkeypatch.setenv("HOME", str(tmp_path))  # of the cache of classifiers
    monkeypatch.setattr("dfm_flax.codec.plan._DEPTH", 3)
    monkeypatch.chdir(tmp_path)
    photo = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    PIL.Image.fromarray(photo).save("photo.jpg")

    found = {"SMALL": small}
    exec(lines, found)

    assert len(found["coded"]) == Path("photo.dfm").stat().st_size
    assert found["enlarged"].shape == (80, 96, 3)
    assert found["samples"].shape == (64, 32, 32, 1)
    assert found["way"].shape == (10, 8, 8, 1)
    assert found["reconstructions"].shape == (8, 8, 8, 1)
    assert found["result"]["sets"]["samples_gmm"]["images"] == 500
    assert list(tmp_path.glob(".cache/dfm_flax/classifier_digits_*.npz"))


def test_the_modules_of_the_thesis_are_flax_modules():
    x, latents = np.zeros((5, 2), np.float32), np.zeros((3, 4), np.float32)
    layer = dfm.FourierLayer(6)
    assert layer.apply(layer.init(jax.random.PRNGKey(0), x), x).shape == (5, 6)
    encoder = dfm.Encoder((8,), 4)
    images = np.zeros((3, 6, 7, 1), np.float32)
    assert encoder.apply(encoder.init(jax.random.PRNGKey(0), images), images).shape == (3, 4)
    decoder = dfm.Decoder(dfm.FourierMachine(depth=2, width=3, channels=1), (8,))
    arguments = latents, np.arange(42), 6, 7
    variables = decoder.init(jax.random.PRNGKey(0), *arguments)
    assert decoder.apply(variables, *arguments).shape == (3, 42, 1)


# What a name may bring, of what takes long to import.
HEAVY = ("numpy", "jax", "scipy", "sklearn", "matplotlib", "orbax", "tensorflow")


@pytest.mark.parametrize(
    ("names", "brings"),
    [
        ("", []),
        ("DfmError, __version__", []),
        ("train", []),
        ("read_image, prepare, write_image", ["numpy"]),
        ("FourierMachine, render, Decoder, Encoder", ["numpy", "jax"]),
        ("decode", ["numpy", "jax"]),
        ("encode", ["numpy", "jax"]),
        ("load_generator", ["numpy", "jax", "orbax"]),
    ],
)
def test_each_name_brings_only_its_own(names, brings):
    code = "import sys, dfm_flax as dfm\n"
    code += "".join(f"dfm.{name}\n" for name in names.split(", ") if name)
    code += f"print([m for m in {HEAVY} if m in sys.modules])"
    process = subprocess.run(  # fresh, as it is about imports
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines() == [str(brings)]
