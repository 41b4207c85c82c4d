"""COIN's two smallest networks beside `.dfm` files of half their size, in the same time.

    python -m dfm_flax.benchmarks.coin IMAGE... --steps 5000 --out coin.json

COIN (Dupont et al., "COIN: COmpression with Implicit Neural representations", 2021,
arXiv:2103.03123) is a SIREN in half precision. Of each image a `.dfm` file of half its bpp is
made first; the SIREN is then trained for as many seconds, its compilation not counted, with
random batches and a cosine decay, which gets it further in a short time than the authors' 50,000
steps over all pixels do. Then both are decoded in turns. `dfm report --coin` draws the result.
"""

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from dfm_flax.baselines.siren import Siren, siren_num_weights
from dfm_flax.benchmarks.equal_time import Contender, adam_cosine, pace
from dfm_flax.benchmarks.timing import take_turns
from dfm_flax.codec import container
from dfm_flax.codec.encoder import encode
from dfm_flax.codec.goal import Goal
from dfm_flax.data.images import read_image
from dfm_flax.data.positions import Target
from dfm_flax.errors import UsageError
from dfm_flax.files import atomic_path, temporary_folder
from dfm_flax.metrics.distortion import bits_per_pixel, ms_ssim, psnr
from dfm_flax.models.rendering import render
from dfm_flax.outputs import Outputs
from dfm_flax.reports.tables import print_table
from dfm_flax.typing import Params

NETWORKS = (Siren(6, 20), Siren(6, 30))  # 5 hidden layers each
_BATCH = 6_400
_DECODINGS = 7


def num_bytes(siren: Siren) -> int:
    """Of a network in half precision, and nothing else."""
    return 2 * siren_num_weights(siren.depth, siren.width, siren.channels)


def train_siren(
    image: Float[np.ndarray, "height width 3"],
    siren: Siren,
    seconds: float,
    learning_rate: float,
    seed: int,
) -> tuple[Params, int]:
    """A network trained for so long on an image, in half precision: (params, steps)."""
    optimizer = functools.partial(adam_cosine, learning_rate)
    runner = Contender("COIN", siren, optimizer, _BATCH, "stratified")
    data = Target.stack([image])
    num_steps = max(1, int(pace([runner], data)["COIN"] * seconds))
    runner.start(num_steps, data, seed)
    runner.turn(num_steps)
    halved = jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(np.float32), runner.params)
    return halved, num_steps


def compare(
    source: str, siren: Siren, num_steps: int, learning_rate: float, seed: int
) -> dict[str, Any]:
    """One image, one network, and the `.dfm` file of half its bpp."""
    image = read_image(source)
    height, width, channels = image.pixels.shape
    if channels != siren.channels:
        raise SystemExit(f"{source}: COIN's networks are for images of {siren.channels} channels")
    size = num_bytes(siren)
    bpp = bits_per_pixel(size, height, width)
    with temporary_folder() as folder:
        file = Path(folder) / "image.dfm"
        begin = time.perf_counter()
        (ours,) = encode(
            [source], [file], Goal(bpp=bpp / 2), num_steps, seed=seed, method="machine"
        )
        seconds = time.perf_counter() - begin
        params, siren_steps = train_siren(image.pixels, siren, seconds, learning_rate, seed)

        def decode() -> Float[np.ndarray, "height width channels"]:
            return container.read(file).render(height, width)

        draw = functools.partial(render, siren, params, height, width)
        times = take_turns({"COIN": draw, "DFM": decode}, rounds=_DECODINGS)
    picture = np.rint(draw() * 255) / 255
    return {
        "image": image.name,
        "network": f"{siren.depth - 1}x{siren.width}",
        "bpp": bpp,
        "psnr": psnr(image.pixels, picture),
        "ms_ssim": ms_ssim(image.pixels, picture),
        "dfm_bpp": ours["bpp"],
        "dfm_psnr": ours["psnr"],
        "dfm_ms_ssim": ours["ms_ssim"],
        "seconds": seconds,
        "steps": siren_steps,
        "dfm_steps": num_steps,
        "decode_ms": 1e3 * times["COIN"].median,
        "dfm_decode_ms": 1e3 * times["DFM"].median,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", help="color images, or sample:NAME")
    parser.add_argument("--steps", type=int, default=5_000, help="of ours (default: 5000)")
    parser.add_argument(
        "--learning-rate", type=float, default=1.5e-3, help="COIN's (default: 1.5e-3)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    options = parser.parse_args()
    try:
        out = Outputs(options.out, options.overwrite, options.images).one("coin.json", {".json"})
    except UsageError as error:
        parser.error(str(error))
    rows: list[dict[str, Any]] = []
    for source in options.images:
        for siren in NETWORKS:
            rows.append(compare(source, siren, options.steps, options.learning_rate, options.seed))
            with atomic_path(out) as path:
                path.write_text(json.dumps(rows, indent=1) + "\n")
    print_table(rows)


if __name__ == "__main__":
    main()
