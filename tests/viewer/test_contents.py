import base64
import json

import jax
import numpy as np
import PIL.Image
import pytest

from dfm_flax.cli import main
from dfm_flax.codec import container
from dfm_flax.config import load_config
from dfm_flax.errors import UsageError
from dfm_flax.fourier import FourierMachine, apply_machines
from dfm_flax.generation.generator import ImageShape, make_generator
from dfm_flax.generation.pretrained import PretrainedGenerator, load_pretrained
from dfm_flax.models.decoders import Decoder
from dfm_flax.models.machine import make_machine
from dfm_flax.runs import Run
from dfm_flax.viewer import contents
from dfm_flax.viewer.contents import Contents, contents_of
from dfm_flax.viewer.page import write_page


def numbers(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_a_file_has_its_coefficients_and_its_original(golden, tmp_path):
    image = container.read(golden)
    pixels = np.random.default_rng(0).integers(0, 256, (image.height, image.width, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    found = contents_of(golden, tmp_path / "a.png")
    (picture,) = found.pictures
    layers = [layer["coefficients"] for layer in image.params.values()]
    np.testing.assert_array_equal(
        numbers(picture["coefficients"]), np.concatenate([layer.ravel() for layer in layers])
    )
    assert found.size == (image.height, image.width)
    assert found.machine["widths"] == image.machine.widths
    assert set(found.machine["bases"]) == {"additive"}
    address, _, data = picture["original"].partition(",")
    assert address == "data:image/png;base64"
    (tmp_path / "b.png").write_bytes(base64.b64decode(data))
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / "b.png")), pixels)


def test_grids_are_whole_numbers_of_as_few_bytes_as_they_need(pyramid_image, tmp_path):
    image = pyramid_image(count=3, spread=2.0)
    image.grids[1][2, 3] = -300
    container.write(tmp_path / "a.dfm", image)
    found = contents_of(tmp_path / "a.dfm")
    assert found.pyramid == [
        {"cell": 1, "height": 11, "width": 18},
        {"cell": 2, "height": 6, "width": 9},
        {"cell": 4, "height": 3, "width": 5},
    ]
    (picture,) = found.pictures
    assert [grid["bytes"] for grid in picture["grids"]] == [1, 2, 1]
    for grid, text in zip(image.grids, picture["grids"], strict=True):
        values = np.frombuffer(base64.b64decode(text["numbers"]), f"<i{text['bytes']}")
        np.testing.assert_array_equal(values.reshape(grid.shape), grid)


def test_an_original_of_another_shape_is_refused(golden, tmp_path):
    PIL.Image.new("RGB", (7, 50)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="7x50 pixels are of another shape"):
        contents_of(golden, tmp_path / "a.png")


@pytest.mark.slow
def test_a_run_has_all_machines_beside_their_images(tmp_path, tiny):
    folder = tmp_path / "run"
    assert main(["train", *tiny, f"--workdir={folder}", "--config.num_seeds=2"]) == 0
    found = contents_of(folder)
    assert [picture["name"] for picture in found.pictures] == ["astronaut_seed0", "astronaut_seed1"]
    assert all(picture["original"].startswith("data:image/png") for picture in found.pictures)
    vectors = np.stack([numbers(picture["coefficients"]) for picture in found.pictures])
    y, x = (np.mgrid[:24, :24] + 0.5) / 24
    positions = np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float32)
    machine = make_machine(Run(folder).config().model.machine, channels=3)
    drawn = (np.asarray(apply_machines(machine, vectors, positions)) + 1) / 2
    for picture, pixels in zip(found.pictures, drawn, strict=True):
        stored = PIL.Image.open(folder / "reconstructions" / f"{picture['name']}.png")
        assert np.abs(np.asarray(stored).reshape(-1, 3) - 255 * pixels).max() <= 0.51


def test_a_generator_has_its_perceptron_and_the_directions_of_its_latents():
    found, sampler = contents_of("mnist").generator, load_pretrained("mnist")
    latents = sampler.prior("gaussian").sample(3, seed=0)
    features = latents
    for i, layer in enumerate(found["layers"]):
        kernel = numbers(layer["kernel"]).reshape(features.shape[1], -1)
        features = features @ kernel + numbers(layer["bias"])
        if i + 1 < len(found["layers"]):
            features = features / (1 + np.exp(-features))
    wanted = sampler.model.apply(
        {"params": sampler.params}, latents, method=lambda model, z: model.decoder.coefficients(z)
    )
    np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-4)
    many = sampler.prior("gaussian").sample(20_000, seed=1)
    directions = numbers(found["directions"]).reshape(-1, many.shape[1])
    along = (many - numbers(found["mean"])) @ directions.T
    np.testing.assert_allclose(along.std(axis=0), found["deviations"], rtol=0.03)
    assert found["deviations"] == sorted(found["deviations"], reverse=True)


def test_a_centered_decoder_gives_coefficients_in_its_units():
    machine = FourierMachine(depth=2, width=3, variances=0.3, normalize=True)
    decoder = Decoder(machine, (5,), initialization="centered")
    latents = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    variables = decoder.init(jax.random.PRNGKey(0), latents, np.arange(4), 2, 2)
    first, last = contents._perceptron(decoder, variables["params"]["mlp"])
    hidden = latents @ numbers(first["kernel"]).reshape(4, 5) + numbers(first["bias"])
    found = np.maximum(hidden, 0) @ numbers(last["kernel"]).reshape(5, -1) + numbers(last["bias"])
    wanted = decoder.apply(variables, latents, method="coefficients")
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_draws_pixels_or_has_another_basis_is_refused(monkeypatch):
    config, shape = load_config("digits:autoencoder"), ImageShape(8, 8, 1)
    pixels = PretrainedGenerator(config, make_generator(config, shape), {}, shape, {})
    monkeypatch.setattr(contents, "load_pretrained", lambda name: pixels)
    with pytest.raises(UsageError, match="has a PixelDecoder; a page draws"):
        contents_of("autoencoder")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnits"], "nor one of those that ship: mnist"),
        (["none.dfm"], "cannot read none.dfm"),
        (["mnist", "--original=a.png"], "only a .dfm file has one"),
        (["newer.dfm"], "version 9 of the format"),
    ],
)
def test_what_cannot_be_shown_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "newer.dfm").write_bytes(container.MAGIC + b"\x09")
    assert main(["view", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "view.html").exists()


def test_a_page_holds_all_it_needs_and_no_name_ends_its_script(tmp_path):
    picture = {"name": "</script><b>", "coefficients": "", "original": None}
    write_page(tmp_path / "a.html", Contents("</script>", [], (2, 2), {}, [picture]))
    page = (tmp_path / "a.html").read_text()
    assert page.count("</script>") == 2
    (data,) = (line for line in page.splitlines() if line.startswith('<script id="data"'))
    found = json.loads(data.partition(">")[2].removesuffix("</script>"))
    assert found["title"] == "</script>"
    assert found["pictures"] == [picture]
    assert "http://" not in page
    assert "https://" not in page
