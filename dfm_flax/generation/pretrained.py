"""Generators as one small file: the weights of a decoder, and priors; some ship with the package.

dfm export --workdir RUN --out NAME.npz
dfm sample --pretrained NAME.npz --out samples.png
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Shaped
from ml_collections import ConfigDict

from dfm_flax import config as configs
from dfm_flax.errors import UsageError, one_line
from dfm_flax.files import atomic_path, local_path
from dfm_flax.generation.generator import Generator, ImageShape, make_generator
from dfm_flax.generation.prior import ClassPrior, Prior, find_prior
from dfm_flax.generation.sampler import Sampler
from dfm_flax.generation.sampling import TrainedGenerator

SHIPPED = Path(__file__).parents[1] / "pretrained"
SUFFIX = ".npz"

_VERSION = 1
_PARAMS, _PRIOR = "params", "prior"  # the first parts of arrays' names


@dataclass(frozen=True, eq=False)
class PretrainedGenerator(Sampler):
    """A generator from a file; see `Sampler`.

    Attributes:
      priors: those in the file, by name.
    """

    config: ConfigDict
    model: Generator
    params: Any
    shape: ImageShape
    priors: Mapping[str, Prior]

    def prior(self, name: str, label: int | None = None) -> Prior:
        """One of the priors in the file, or, if it is a `ClassPrior`, that of one class.

        Raises:
          UsageError: it is not among them, or knows no such class.
        """
        wanted = self.prior_name(name)
        if wanted not in self.priors:
            raise UsageError(
                f"prior {name!r} is not in this file, which has {', '.join(self.priors)}"
            )
        prior = self.priors[wanted]
        if label is None:
            return prior
        if not isinstance(prior, ClassPrior):
            raise UsageError(f"prior {name!r} of this file knows no classes")
        return prior.of_class(label)


def export(
    generator: TrainedGenerator,
    file: str | Path,
    priors: Sequence[str] = ("normal", "gaussian"),
) -> None:
    """Writes what sampling needs of a trained generator, and nothing else.

    Args:
      priors: names of those that go with it.

    Raises:
      UsageError: there is no such prior, or the file cannot be written.
    """
    arrays: dict[str, Any] = {
        "config": np.array(configs.to_json(_without_places(generator.config))),
        "shape": np.array(
            [generator.shape.height, generator.shape.width, generator.shape.channels]
        ),
    }
    decoder = {"decoder": generator.params["decoder"]}
    for name, leaf in flatten_dict(decoder, sep="/").items():
        arrays[f"{_PARAMS}/{name}"] = np.asarray(leaf)
    for name in priors:
        for key, array in generator.prior(name).arrays().items():
            arrays[f"{_PRIOR}/{generator.prior_name(name)}/{key}"] = np.asarray(array)
    with atomic_path(file) as path:
        np.savez_compressed(path, version=_VERSION, digest=digest(arrays), **arrays)


def _without_places(config: ConfigDict) -> ConfigDict:
    """The config without where the data were on the machine that trained it."""
    copy = configs.from_json(configs.to_json(config))
    copy.data.data_dir = ""
    return copy


def load_pretrained(name: str | Path) -> PretrainedGenerator:
    """The generator of a file, or of one that ships, by its name, such as `mnist`.

    Raises:
      UsageError: there is none, or the file is damaged or no generator's.
    """
    file = local_path(name) if str(name).endswith(SUFFIX) else SHIPPED / f"{name}{SUFFIX}"
    if not file.is_file():
        shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob(f"*{SUFFIX}"))) or "none"
        raise UsageError(
            f"--pretrained {name}: no such file {SUFFIX}, nor one of those that ship: {shipped}"
        )
    try:
        with np.load(file) as stored:
            arrays = {key: stored[key] for key in stored.files}
        version, expected = int(arrays.pop("version")), str(arrays.pop("digest"))
        if version != _VERSION:
            raise ValueError(f"version {version}, and this dfm_flax reads {_VERSION}")
        if digest(arrays) != expected:
            raise ValueError("it does not match its digest")
        config = configs.from_json(str(arrays.pop("config")))
        shape = ImageShape(*map(int, arrays.pop("shape")))
        params: dict[str, Any] = {}
        priors: dict[str, dict[str, Any]] = {}
        for key, array in arrays.items():
            kind, _, rest = key.partition("/")
            if kind == _PRIOR:  # whose own names may have a "/" too
                prior, _, rest = rest.partition("/")
                priors.setdefault(prior, {})[rest] = array
            else:
                params[rest] = array
        return PretrainedGenerator(
            config,
            make_generator(config, shape),
            unflatten_dict(params, sep="/"),
            shape,
            {name: find_prior(name).from_arrays(of_prior) for name, of_prior in priors.items()},
        )
    except Exception as error:  # NumPy and zlib answer damaged bytes with nearly any exception
        raise UsageError(f"{file}: cannot be read as a generator: {one_line(error)}") from error


def digest(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> str:
    """SHA-256 of the names and contents of arrays."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(json.dumps([name, str(array.dtype), list(array.shape)]).encode())
        sha.update(array.tobytes())
    return sha.hexdigest()
