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

from dfm_flax.generation.pretrained import load_pretrained
from dfm_flax.viewer.contents import contents_of
from dfm_flax.viewer.page import write_page

CODEC = Path(__file__).parents[1] / "codec"
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


PIXELS = "btoa(String.fromCharCode(...viewer.machine.pixels({}, {})))"


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_is_drawn_within_two_levels(answer, version):
    wanted = np.asarray(PIL.Image.open(CODEC / f"golden_v{version}.png")).astype(int)
    height, width = wanted.shape[:2]
    found = pixels_of(
        answer(CODEC / f"golden_v{version}.dfm", PIXELS.format(height, width)), height, width
    )
    assert wanted.std() > 5
    assert np.abs(found[..., :3] - wanted.reshape(height, width, -1)).max() <= 2
    assert (found[..., 3] == 255).all()


def test_a_generator_draws_latents_that_sliders_move_and_samples(answer):
    sampler = load_pretrained("mnist")
    made = contents_of("mnist").generator
    drawn, samples = answer(
        "mnist",
        f"""(() => {{
            const generator = new Generator(data.generator);
            const steps = generator.deviations.map((_, d) => d === 1 ? 1.5 : d === 2 ? -1 : 0);
            viewer.load(generator.coefficients(generator.moved(generator.mean, steps)));
            const samples = Array.from({{ length: 4000 }}, () => generator.sample()[0]);
            return [{PIXELS.format(28, 28)}, samples];
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
