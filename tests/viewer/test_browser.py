"""Pages in a real browser: what they draw is what Python draws."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from dfm_flax.codec import container
from dfm_flax.codec.api import decode
from dfm_flax.generation.pretrained import load_pretrained
from dfm_flax.viewer.contents import contents_of
from dfm_flax.viewer.page import write_page

CODEC = Path(__file__).parents[1] / "codec"
GOLDEN = [
    CODEC / "golden_v1",
    CODEC / "golden_v2",
    *(CODEC / "pyramid" / f"golden_v3{start}" for start in ("", "_start_1")),
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=10000",
    "--dump-dom",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]


@pytest.fixture
def answer(tmp_path):
    """What a script of an own gives as JSON in the page of a source."""

    def run(source, script):
        page = tmp_path / "page.html"
        write_page(page, contents_of(source))
        code = f"<script>part('title').textContent = JSON.stringify({script})</script>"
        page.write_text(page.read_text().replace("</body>", f"{code}</body>"))
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [CHROMIUM, *FLAGS, profile, page.as_uri()]
        process = subprocess.run(command, capture_output=True, text=True, timeout=300)
        (text,) = re.findall(r'<h1 id="title">(.*?)</h1>', process.stdout) or [process.stderr]
        return json.loads(text)

    return run


def pixels_of(text, height, width):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4).astype(int)


PIXELS = "btoa(String.fromCharCode(...{}.pixels({})))"


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_a_file_is_drawn_within_two_levels(answer, golden):
    wanted = np.asarray(PIL.Image.open(golden.with_suffix(".png"))).astype(int)
    height, width = wanted.shape[:2]
    script = PIXELS.format("viewer.drawer", f"{height}, {width}")
    found = pixels_of(answer(golden.with_suffix(".dfm"), script), height, width)
    assert wanted.std() > 5
    assert np.abs(found[..., :3] - wanted.reshape(height, width, -1)).max() <= 2
    assert (found[..., 3] == 255).all()


@pytest.mark.parametrize(
    ("channels", "first", "scale", "region", "tile"),
    [
        (3, 0, 1, (0, 0, 45, 34), "{}"),
        (3, 0, 7.3, (20, 31, 90, 40), "{}"),
        (1, 1, 2.5, (0, 0, 112, 85), "{ rows: 13, columns: 30 }"),
        (3, 2, 0.4, (0, 0, 18, 14), "{ rows: 3, columns: 7 }"),
        (3, 0, 300, (6000, 5000, 40, 60), "{ rows: 7, columns: 512 }"),
    ],
)
def test_grids_are_drawn_at_any_zoom(
    answer, pyramid_image, tmp_path, channels, first, scale, region, tile
):
    """A part of the picture, also tile by tile, is what Python draws of it."""
    file = tmp_path / "a.dfm"
    container.write(file, pyramid_image(34, 45, channels, first, spread=2.0))
    left, top, width, height = region
    wanted = 255 * decode(file, scale=scale, region=region)
    rows, columns = (round(side * scale) for side in (34, 45))
    part = f"{height}, {width}, [{left / columns}, {top / rows}], [{1 / columns}, {1 / rows}]"
    drawer = f"(Object.assign(TILE, {tile}), viewer.drawer = new Pyramid(viewer.gl, data))"
    load = "choose(data.pictures[0])"
    found = pixels_of(
        answer(file, f"({drawer}, {load}, {PIXELS.format('viewer.drawer', part)})"), height, width
    )
    assert wanted.std() > 5
    assert np.abs(found[..., :3] - wanted.reshape(height, width, -1)).max() <= 2
    assert (found[..., 3] == 255).all()


def test_around_a_picture_there_is_nothing(answer, pyramid_image, tmp_path):
    file = tmp_path / "a.dfm"
    container.write(file, pyramid_image(16, 16, spread=2.0))
    script = PIXELS.format("viewer.drawer", "32, 32, [-0.5, -0.5], [1 / 16, 1 / 16]")
    found = pixels_of(answer(file, script), 32, 32)
    inside = np.zeros((32, 32), bool)
    inside[8:24, 8:24] = True
    np.testing.assert_array_equal(found[..., 3], 255 * inside)
    assert not found[~inside].any()
    assert np.abs(found[inside][:, :3].reshape(16, 16, 3) - 255 * decode(file)).max() <= 2


def test_a_generator_draws_latents_that_sliders_move_and_samples(answer):
    sampler = load_pretrained("mnist")
    made = contents_of("mnist").generator
    drawn, samples = answer(
        "mnist",
        f"""(() => {{
            const generator = new Generator(data.generator);
            const steps = generator.deviations.map((_, d) => d === 1 ? 1.5 : d === 2 ? -1 : 0);
            const latent = generator.moved(generator.mean, steps);
            viewer.load({{ coefficients: generator.coefficients(latent) }});
            const samples = Array.from({{ length: 4000 }}, () => generator.sample()[0]);
            return [{PIXELS.format("viewer.drawer", "28, 28")}, samples];
        }})()""",
    )
    prior = sampler.prior("gaussian").arrays()
    mean, factor = prior["means"][0], prior["factors"][0]
    directions = np.frombuffer(base64.b64decode(made["directions"]), "<f4").reshape(-1, len(mean))
    latent = mean + 1.5 * made["deviations"][1] * directions[1]
    latent -= made["deviations"][2] * directions[2]
    wanted = np.rint(255 * sampler.decode(np.float32(latent[None]))[0])
    assert np.abs(pixels_of(drawn, 28, 28)[..., :1] - wanted).max() <= 2
    deviation = np.sqrt((factor @ factor.T)[0, 0])
    assert np.mean(samples) == pytest.approx(mean[0], abs=0.1 * deviation)
    assert np.std(samples) == pytest.approx(deviation, rel=0.1)
