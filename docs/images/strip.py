"""The picture at the top of README: a photo, its file, a part of both enlarged, new digits.

    python docs/images/strip.py  # a few minutes of CPU; writes strip.png here

The photo is scikit-image's `chelsea`; the digits are by the generator that ships with the package.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

import dfm_flax as dfm
from dfm_flax.generation.pretrained import load_pretrained

SIDE = 256  # pixels of the photo
SCALE = 8
LEFT, TOP, PART = 52, 68, 48  # of what is enlarged, in pixels of the photo


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Images [N, H, W, 1] as one, [H N / columns, W columns]."""
    rows = [np.concatenate(list(row), axis=1) for row in np.split(images, len(images) // columns)]
    return np.concatenate(rows)[..., 0]


def main() -> None:
    photo = dfm.prepare(dfm.read_image("sample:chelsea"), crop=(SIDE, SIDE))
    coded = dfm.encode(photo.pixels, bpp=0.5, num_steps=1_500)
    region = (LEFT * SCALE, TOP * SCALE, PART * SCALE, PART * SCALE)
    enlarged = dfm.decode(coded, scale=SCALE, region=region)
    part = photo.pixels[TOP : TOP + PART, LEFT : LEFT + PART]
    digits = load_pretrained("mnist").sample(36, seed=0, size=(56, 56))

    kilobytes = SIDE * SIDE * 3 / 1000
    panels = {
        f"a photo, {kilobytes:.0f} kB": photo.pixels,
        f"its file, {len(coded) / 1000:.1f} kB": dfm.decode(coded),
        f"{PART}x{PART} of its pixels": part,
        f"{SCALE} times finer, from the file": enlarged,
        "digits that nobody wrote": 1 - grid(digits, 6),
    }
    mpl.rcParams["font.size"] = 8
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 2.5), layout="constrained", dpi=110)
    for axis, (title, picture) in zip(axes, panels.items(), strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(Path(__file__).with_name("strip.png"))


if __name__ == "__main__":
    main()
