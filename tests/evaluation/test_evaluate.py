"""Tests of evaluation: with a generator whose images are known, and by the command."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import scipy.special

from dfm_flax import config as configs
from dfm_flax.cli import main
from dfm_flax.data import feed_choice
from dfm_flax.data.image_sets import load_image_set
from dfm_flax.errors import UsageError
from dfm_flax.evaluation import classifier_features as classifier
from dfm_flax.evaluation import evaluate
from dfm_flax.evaluation.extractor import FeatureExtractor
from dfm_flax.generation import run as generation_run
from dfm_flax.generation.generator import make_generator
from dfm_flax.generation.sampling import TrainedGenerator, load_generator
from dfm_flax.generation.train import initial_state
from dfm_flax.generation.training_images import open_training_images
from dfm_flax.runs import Run
from dfm_flax.training.checkpoints import Checkpoints


def make_run(folder, variant, *assignments):
    """A run of a generator that has not been trained at all, with the checkpoint of step 0."""
    config = configs.load_config(f"digits:{variant}")
    configs.override(config, ["model.hidden=16", *assignments])
    run = Run(folder)
    data = open_training_images(run, config)
    model = make_generator(config, data.shape)
    state, _ = initial_state(model, config, data.shape, data.num)
    generation_run.start_run(run, config, data)
    save(run, state)
    return run, state


def save(run, state):
    checkpoints = Checkpoints(run.checkpoints)
    checkpoints.save(int(state.step), state, [])
    checkpoints.wait()
    checkpoints.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One with an encoder and test images held out, another with a table."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        make_run(folder / "encoder", "autoencoder", "data.split=train"),
        make_run(folder / "table", "table", "data.split=train"),
    ]


def projections(about):
    """Features without any network, nor compilation."""
    rng = np.random.default_rng(0)
    directions, classes = rng.normal(size=(64, 8)), rng.normal(size=(64, 10)) / 20

    def look(images):
        rows = images.reshape(len(images), -1) / 16
        return rows @ directions, scipy.special.softmax(rows @ classes, axis=1)

    return FeatureExtractor(about["name"], about, 500, look)


@pytest.fixture
def simple_features(monkeypatch):
    """Projections instead of a trained network."""
    extractor = projections({"name": "classifier"})
    monkeypatch.setattr(evaluate, "classifier_features", lambda *arguments: extractor)


@pytest.fixture
def untrained_classifier(monkeypatch):
    def untrained(train):
        model = classifier._model(train.num_classes)
        params = jax.jit(model.init)(jax.random.PRNGKey(0), train.images[:1])["params"]
        return jax.tree.map(np.asarray, params)

    recipe = dataclasses.replace(classifier.RECIPE, width=4, num_features=8)
    monkeypatch.setattr(classifier, "_train", untrained)
    monkeypatch.setattr(classifier, "RECIPE", recipe)


@pytest.fixture
def options(tmp_path):
    return {"num": 100, "priors": ("normal", "gaussian"), "cache": tmp_path}


def test_a_perfect_generator(runs, simple_features, options, monkeypatch):
    """It reconstructs without error, and its samples are real images: memorized ones."""
    run, _ = runs[0]
    generator = load_generator(run.folder)
    real = generator.images / np.float32(255)
    for method, instead in {
        "reconstruct": lambda self, images: images,
        "reconstruct_training": lambda self, index: real[index],
        "sample": lambda self, num, prior, seed: real[:num],
    }.items():
        monkeypatch.setattr(TrainedGenerator, method, instead)
    (result,) = evaluate.evaluate([run.folder], **options)
    sets = result["sets"]
    assert sets["reconstructions"] == sets["real"]
    assert sets["samples_normal"] == sets["samples_gaussian"]
    assert sets["samples_normal"]["frechet_classifier"] < 3 * sets["real"]["frechet_classifier"]
    assert sets["interpolations"]["frechet_classifier"] > sets["real"]["frechet_classifier"]
    for which in ("training", "held_out"):
        assert result["reconstruction"][which] == {"images": 100, "mse": 0, "psnr": None}
    for distances in result["nearest"].values():
        assert distances["samples_normal"] == 0
        assert distances["real"] > 0
    (run.folder / "evaluation.json").unlink()


def test_errors_of_a_known_size(runs, simple_features, options, monkeypatch):
    run, _ = runs[0]
    generator = load_generator(run.folder)
    off = 51 / 255  # and clipped nowhere, as images are made to lie below
    images = generator.images // 2 / np.float32(255)

    def too_bright(self, index):
        return images[index] + np.float32(off)

    monkeypatch.setattr(TrainedGenerator, "reconstruct_training", too_bright)
    (result,) = evaluate.evaluate([run.folder], **options)
    others = np.random.default_rng(0).permutation(len(images))[100:200]
    expected = np.mean((images[others] + off - generator.images[others] / 255) ** 2)
    assert result["reconstruction"]["training"]["mse"] == pytest.approx(expected, rel=1e-5)
    assert result["reconstruction"]["training"]["psnr"] == pytest.approx(-10 * np.log10(expected))
    (run.folder / "evaluation.json").unlink()


def test_a_set_without_a_test_split(runs, simple_features, options, monkeypatch, caplog):
    run, _ = runs[0]

    def only_train(name, split, data_dir, size):
        if split == "test":
            raise UsageError("no split 'test'")
        return load_image_set(name, split, data_dir, size)

    monkeypatch.setattr(feed_choice, "load_image_set", only_train)
    with pytest.raises(
        UsageError, match=r"no split 'test' \(.* --features efficientnet and inception do not"
    ):
        evaluate.evaluate([run.folder], **options)
    extractor = evaluate.classifier_features()
    monkeypatch.setattr(evaluate, "_extractor", lambda *arguments: extractor)
    (result,) = evaluate.evaluate([run.folder], **options)
    assert list(result["reconstruction"]) == ["training"]
    assert "no error of held-out images: no split 'test'" in caplog.text
    (run.folder / "evaluation.json").unlink()


def test_a_picture_that_fails_costs_no_metric(runs, simple_features, options, monkeypatch, caplog):
    """Each kind of failure: a place that cannot be written, and whatever Matplotlib raises."""
    run, _ = runs[0]
    shutil.rmtree(run.folder / "figures", ignore_errors=True)
    (run.folder / "figures").write_text("no folder")
    (result,) = evaluate.evaluate([run.folder], **options)
    (run.folder / "figures").unlink()
    assert json.loads((run.folder / "evaluation.json").read_text()) == {"classifier": result}
    assert "neighbors_normal_classifier.png: cannot write" in caplog.text

    def fails(file, *arguments, **options):
        assert (run.folder / "evaluation.json").is_file()
        raise RuntimeError("Failed to process string with tex\nbecause latex could not be found")

    (run.folder / "evaluation.json").unlink()
    monkeypatch.setattr("dfm_flax.figures.neighbors.neighbors_figure", fails)
    caplog.clear()
    assert evaluate.evaluate([run.folder], **options) == [result]
    lines = [record.message for record in caplog.records if "dfm_flax" in record.name]
    assert [line.split(": ")[0].rpartition("/")[2] for line in lines] == [
        "neighbors_normal_classifier.png",
        "neighbors_gaussian_classifier.png",
    ]
    assert lines[0].endswith("Failed to process string with tex because latex could not be found")
    (run.folder / "evaluation.json").unlink()


def test_one_folder_and_a_prior_by_import_path(runs, simple_features, options, monkeypatch):
    """The folder need not stand in a list; the picture's name is one that files may have."""
    run, _ = runs[0]
    name = "dfm_flax.generation.priors.normal:Normal"
    (result,) = evaluate.evaluate(str(run.folder), **options | {"priors": ["normal", name]})
    assert result["sets"][f"samples_{name}"] == result["sets"]["samples_normal"]
    file = "neighbors_dfm_flax.generation.priors.normal.Normal_classifier.png"
    assert (run.folder / "figures" / file).is_file()
    (run.folder / "evaluation.json").unlink()


def test_no_bar_without_a_terminal(runs, simple_features, options, capsys):
    run, _ = runs[0]
    evaluate.evaluate(run.folder, **options)
    assert capsys.readouterr().err == ""
    (run.folder / "evaluation.json").unlink()


def test_interpolations_are_half_way(runs):
    generator = load_generator(runs[0][0].folder)
    first, second = [3, 8], [5, 1]
    images = evaluate._midpoints(generator, np.array(first), np.array(second))
    for image, a, b in zip(images, first, second, strict=True):
        np.testing.assert_allclose(image, generator.interpolate(a, b, 3)[1], atol=1e-5)


@pytest.mark.slow
def test_the_command_on_two_runs(runs, untrained_classifier, tmp_path, capsys, monkeypatch):
    folders = [str(run.folder) for run, _ in runs]
    arguments = ["evaluate", "--num=100", "--prior", "normal", "gmm", f"--cache={tmp_path}"]
    monkeypatch.setattr(evaluate, "_INVERTED", 20)
    assert main([*arguments, "--workdir", *folders]) == 0
    output = capsys.readouterr()
    header, *rows = [line.split() for line in output.out.splitlines() if "  " in line]
    assert header[:2] == ["run", "step"]
    assert [row[0] for row in rows] == folders
    assert "this is no FID" in output.out
    results = [json.loads((run.folder / "evaluation.json").read_text()) for run, _ in runs]
    first, second = (result["classifier"] for result in results)
    assert list(first["sets"]) == [
        "real",
        "reconstructions",
        "interpolations",
        "samples_normal",
        "samples_gmm",
    ]
    assert first["sets"]["real"] == second["sets"]["real"]
    assert first["settings"]["num"] == 100
    assert first["reconstruction"]["held_out"]["images"] == 100
    assert second["reconstruction"]["held_out"]["images"] == 20  # a search each
    for run, _ in runs:
        for prior in ("normal", "gmm"):
            figure = run.folder / "figures" / f"neighbors_{prior}_classifier.png"
            assert figure.stat().st_size > 5_000

    # The same again: nothing is measured. Another seed, or a new checkpoint: all is.
    measured = []
    original = evaluate._evaluate
    monkeypatch.setattr(
        evaluate, "_evaluate", lambda *a: measured.append(a[0].run.folder) or original(*a)
    )
    assert main([*arguments, "--workdir", folders[0]]) == 0
    output = capsys.readouterr()
    assert "reconstruction of 100 held-out images: mse" in output.out
    assert "samples_gmm" in output.out
    assert not measured
    assert main([*arguments, "--workdir", folders[0], "--seed=1"]) == 0
    assert len(measured) == 1
    run, state = runs[0]
    save(run, dataclasses.replace(state, step=np.int32(1)))
    assert main([*arguments, "--workdir", folders[0], "--seed=1"]) == 0
    assert len(measured) == 2
    assert (
        json.loads((run.folder / "evaluation.json").read_text())["classifier"]["settings"]["step"]
        == 1
    )


def test_the_command_by_efficientnet(runs, tmp_path, capsys, monkeypatch):
    """It stands beside what was measured by the classifier, and needs no splits."""
    about = {"name": "efficientnet", "trained_on": "ImageNet", "side": 128, "sha256": "0"}
    monkeypatch.setattr(evaluate, "efficientnet_features", lambda: projections(about))

    def no_split(*arguments):
        raise UsageError("no split")

    monkeypatch.setattr(evaluate, "_split", no_split)
    folder = runs[0][0].folder
    file = folder / "evaluation.json"
    file.write_text('{"classifier": {"settings": {}}}')
    arguments = ["--features=efficientnet", "--num=50", "--prior", "normal"]
    assert main(["evaluate", "--workdir", str(folder), *arguments]) == 0
    output = capsys.readouterr().out
    assert "frechet_efficientnet" in output
    assert "EfficientNet-Lite0, trained on ImageNet, of images at 128 x 128 pixels" in output
    assert "this is no FID" in output
    stored = json.loads(file.read_text())
    assert stored["classifier"] == {"settings": {}}
    assert stored["efficientnet"]["settings"]["features"] == about
    named = ("frechet", "kernel", "precision", "recall", "score")
    assert {f"{name}_efficientnet" for name in named} <= stored["efficientnet"]["sets"][
        "real"
    ].keys()
    file.unlink()


def test_runs_on_different_images(runs, tmp_path, options):
    other, _ = make_run(tmp_path / "other", "autoencoder")
    with pytest.raises(UsageError, match="trained on different images"):
        evaluate.evaluate([runs[0][0].folder, other.folder], **options)


def test_a_run_of_compression(tiny, tmp_path, options):
    config = configs.load_config("compress")
    Run(tmp_path).write_config(config)
    with pytest.raises(UsageError, match="not of a generator"):
        evaluate.evaluate([tmp_path], **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--prior", "gauss"],
            "prior 'gauss' is not one of flow, flow_matching, gaussian, gmm",
        ),
        (["--num=19"], "--num 19: at least 20"),
        (["--features=vgg"], "--features 'vgg' is not one of classifier, efficientnet, inception"),
        (["--inception-weights=x"], "--inception-weights goes with --features inception"),
        (
            ["--features=efficientnet", "--inception-weights=x"],
            "--inception-weights goes with --features inception",
        ),
        (["--features=inception", "--inception-weights=missing.pth"], "torch-fidelity|missing.pth"),
    ],
)
def test_bad_usage(runs, tmp_path, capsys, arguments, message):
    folder = str(runs[0][0].folder)
    assert main(["evaluate", "--workdir", folder, f"--cache={tmp_path}", *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dfm: ")]
    assert any(part in line for part in message.split("|"))


def test_a_damaged_evaluation(runs, simple_features, options):
    file = runs[0][0].folder / "evaluation.json"
    for content in ("{", "[1]"):
        file.write_text(content)
        with pytest.raises(UsageError, match=r"evaluation.json: cannot be read, delete it"):
            evaluate.evaluate([runs[0][0].folder], **options)
    file.unlink()
