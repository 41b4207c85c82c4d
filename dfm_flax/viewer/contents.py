"""What a page shows: the pictures of a file or a run, or a generator, as plain data.

A page gets the coefficients of its machines, or the perceptron that gives them, and draws them
itself; see `machine.js`, `pyramid.js` and `generator.js`.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dfm_flax.codec import container
from dfm_flax.codec.pyramid.image import PyramidImage
from dfm_flax.codec.quantized import QuantizedImage
from dfm_flax.compression.jobs import make_jobs, stored_images
from dfm_flax.compression.reconstruct import newest_machines
from dfm_flax.data.images import Image, read_image, to_pillow
from dfm_flax.errors import UsageError
from dfm_flax.fourier import BASES, FourierMachine, initial_deviations
from dfm_flax.generation.pretrained import SUFFIX, load_pretrained
from dfm_flax.generation.sampler import Sampler
from dfm_flax.generation.sampling import load_generator
from dfm_flax.models.decoders import Decoder
from dfm_flax.runs import Run
from dfm_flax.viewer import pyramids
from dfm_flax.viewer.texts import floats_text

_PRIOR = "gaussian"  # of new samples, and of the directions along which latents move
_MOST_DIRECTIONS = 12


@dataclass(frozen=True)
class Contents:
    """What a page shows.

    Attributes:
      title: in a few words.
      facts: sizes and counts, in words.
      size: (height, width) of the pictures in their own pixels.
      machine: the structure of the machines.
      pictures: name, coefficients and original of each; a generator has none.
      generator: its perceptron and its latents, if it is one.
      pyramid: sizes of the grids that the machine is over, if there are any.
    """

    title: str
    facts: list[str]
    size: tuple[int, int]
    machine: dict[str, Any]
    pictures: list[dict[str, Any]]
    generator: dict[str, Any] | None = None
    pyramid: list[dict[str, int]] | None = None


def contents_of(source: str | Path, original: str | Path | None = None) -> Contents:
    """What the page of a `.dfm` file, a run, or a generator in a file shows.

    Args:
      source: a `.dfm` file, the folder of a run, NAME.npz, or the name of a generator that ships.
      original: the image that a `.dfm` file was made from, to stand beside it.

    Raises:
      UsageError: it cannot be read or shown.
    """
    path = Path(source)
    if path.suffix == container.SUFFIX:
        return _of_file(path, original)
    if original is not None:
        raise UsageError(f"--original {original}: only a {container.SUFFIX} file has one")
    if path.suffix == SUFFIX or not path.exists():
        return _of_generator(path.stem, load_pretrained(source))
    run = Run(path)
    if run.config().task == "compression":
        return _of_run(run)
    return _of_generator(run.folder.name, load_generator(path))


def _of_file(file: Path, original: str | Path | None) -> Contents:
    image = container.read(file)
    beside = None
    if original is not None:
        photo = read_image(original)
        height, width = photo.pixels.shape[:2]
        if height * image.width != width * image.height:
            raise UsageError(
                f"--original {original}: {width}x{height} pixels are of another shape than the "
                f"{image.width}x{image.height} of {file}"
            )
        beside = _png(photo)
    pyramid = None
    if isinstance(image, QuantizedImage):
        machine, picture = _structure(image.machine), _picture(image.machine, image.params)
    else:
        assert isinstance(image, PyramidImage)
        machine, picture = pyramids.structure_of(image), pyramids.picture_of(image)
        pyramid = pyramids.grids_of(image)
    num_bytes = file.stat().st_size
    return Contents(
        file.name,
        [
            f"{image.width}x{image.height} pixels",
            f"{num_bytes:,} bytes",
            f"{8 * num_bytes / (image.width * image.height):.3f} bits per pixel",
        ],
        (image.height, image.width),
        machine,
        [{"name": file.name, "original": beside} | picture],
        pyramid=pyramid,
    )


def _of_run(run: Run) -> Contents:
    config = run.config()
    jobs = make_jobs(stored_images(run), config.seed, config.num_seeds)
    shapes = {job.image.pixels.shape for job in jobs}
    if len(shapes) > 1:
        raise UsageError(f"{run.folder}: images of several sizes do not fit one page")
    machine, params = newest_machines(run, jobs)
    height, width, _ = shapes.pop()
    return Contents(
        run.folder.name,
        [f"{width}x{height} pixels", f"{len(jobs)} machines"],
        (height, width),
        _structure(machine),
        [
            {"name": job.name, "original": _png(job.image)} | _picture(machine, own)
            for job, own in zip(jobs, params, strict=True)
        ],
    )


def _of_generator(name: str, sampler: Sampler) -> Contents:
    decoder = sampler.model.decoder
    if not isinstance(decoder, Decoder):
        raise UsageError(
            f"{name}: its generator has a {type(decoder).__name__}; a page draws those with a "
            "Decoder, of which each image has a machine of its own"
        )
    prior = sampler.prior(_PRIOR).arrays()
    mean, factor = prior["means"][0], prior["factors"][0]
    variances, directions = np.linalg.eigh(factor @ factor.T)
    most = min(_MOST_DIRECTIONS, len(mean))
    machine = decoder.machine
    height, width = sampler.shape.height, sampler.shape.width
    generator = {
        "activation": decoder.activation,
        "layers": _perceptron(decoder, sampler.params["decoder"]["mlp"]),
        "mean": floats_text(mean),
        "factor": floats_text(factor),
        "directions": floats_text(directions.T[::-1][:most]),
        "deviations": np.sqrt(np.maximum(variances[::-1][:most], 0)).tolist(),
    }
    facts = [f"{width}x{height} pixels", f"{len(mean)} latents"]
    return Contents(name, facts, (height, width), _structure(machine), [], generator)


def _perceptron(decoder: Decoder, params: Any) -> list[dict[str, str]]:
    """Kernels and biases of its layers; the outputs of the last are coefficients."""
    layers = [params[f"layer_{i}"] for i in range(len(decoder.hidden) + 1)]
    unit: Any = 1.0
    if decoder.initialization == "centered":
        unit = initial_deviations(decoder.machine)
    units = [1.0] * len(decoder.hidden) + [unit]
    return [
        {
            "kernel": floats_text(np.asarray(layer["kernel"]) * scale),
            "bias": floats_text(np.asarray(layer["bias"]) * scale),
        }
        for layer, scale in zip(layers, units, strict=True)
    ]


def _structure(machine: FourierMachine) -> dict[str, Any]:
    """What the shader is made of.

    Raises:
      UsageError: a layer has a basis that no shader knows.
    """
    names = {BASES.get(name): name for name in BASES.names()}
    unknown = [basis for basis in machine.bases if type(basis) not in names]
    if unknown:
        raise UsageError(
            f"a page cannot draw machines with {unknown[0]}, only {list(BASES.names())}"
        )
    return {
        "extent": machine.extent,
        "residual": machine.residual,
        "widths": machine.widths,
        "bases": [names[type(basis)] for basis in machine.bases],
        "frequencies": [basis.max_frequency for basis in machine.bases],
    }


def _picture(machine: FourierMachine, params: Any) -> dict[str, str]:
    layers = [params[f"layer_{i}"]["coefficients"] for i in range(machine.depth)]
    return {"coefficients": floats_text(*layers)}


def _png(image: Image) -> str:
    """As an address that holds the picture itself, with 8 bits a sample."""
    file = io.BytesIO()
    to_pillow(np.rint(image.pixels * 255).astype(np.uint8)).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
