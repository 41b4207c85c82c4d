"""Distributions that latents are drawn from, fitted to those of the training images.

A prior is a file in `dfm_flax.generation.priors`, or a subclass of `Prior` anywhere, named by
its import path "my_module:Name".
"""

import abc
import inspect
import re
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Shaped

from dfm_flax.errors import UsageError, one_line
from dfm_flax.files import atomic_path
from dfm_flax.registry import Registry

Arrays = dict[str, Shaped[np.ndarray, "..."]]


class Prior(abc.ABC):
    """A distribution of latents, which are L numbers each.

    Attributes:
      needs_latents: False if `fit` looks at nothing but their size; it then gets none [0, L].
    """

    needs_latents: ClassVar[bool] = True

    @classmethod
    @abc.abstractmethod
    def fit(cls, latents: Float[np.ndarray, "latents latent"], seed: int = 0) -> "Prior":
        """The prior of latents; `seed` is that of what is random in the fit.

        Raises:
          UsageError: the latents are too few.
        """

    @abc.abstractmethod
    def sample(self, num: int, seed: int) -> Float32[np.ndarray, "{num} latent"]:
        """Some latents."""

    def log_prob(
        self, latents: Float[np.ndarray, "latents latent"]
    ) -> Float64[np.ndarray, "latents"]:
        """The logarithm of the density at latents.

        Raises:
          UsageError: there is no density, or it is not known.
        """
        raise UsageError(f"the density of {type(self).__name__} is not known")

    @abc.abstractmethod
    def arrays(self) -> Arrays:
        """All that the prior consists of, as arrays of numbers."""

    @classmethod
    @abc.abstractmethod
    def from_arrays(cls, arrays: Arrays) -> "Prior":
        """The prior of such arrays.

        Raises:
          KeyError, ValueError: they are not those of a prior.
        """


class ClassPrior(Prior):
    """A prior that learns the classes of a data set as well, where it has some."""

    @classmethod
    @abc.abstractmethod
    def fit(
        cls,
        latents: Float[np.ndarray, "latents latent"],
        seed: int = 0,
        labels: Int[np.ndarray, "latents"] | None = None,
    ) -> "ClassPrior":
        """See `Prior.fit`; `labels` are the classes of the latents, from 0 on."""

    @abc.abstractmethod
    def of_class(self, label: int) -> Prior:
        """The prior of a single class.

        Raises:
          UsageError: there is no such class.
        """


PRIORS = Registry.of_folder("prior", "dfm_flax.generation.priors", Prior)


def find_prior(name: str) -> type[Prior]:
    """The class of a prior by its name or import path.

    Raises:
      UsageError: there is none, or it is no `Prior`.
    """
    found = PRIORS.get(name)
    if not (inspect.isclass(found) and issubclass(found, Prior)):
        raise UsageError(f"prior {name!r} is not a subclass of dfm_flax.generation.prior.Prior")
    return found


def safe_name(name: str) -> str:
    """The name of a prior as a file may have it on all systems: that of a:B is a.B."""
    return re.sub(r"[^\w.-]", "_", name.replace(":", "."))


_ARRAY = "array/"  # before the names of a prior's own arrays


def save_prior(path: Path, prior: Prior, name: str, step: int) -> None:
    """Writes a prior that was fitted to the latents of a checkpoint.

    Raises:
      UsageError: the file cannot be written, or the prior holds more than numbers.
      DfmError: the disk is full or broken.
    """
    arrays: dict[str, Any] = {
        f"{_ARRAY}{key}": np.asarray(array) for key, array in prior.arrays().items()
    }
    objects = [key for key, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise UsageError(f"cannot write {path}: {objects[0]} holds more than numbers")
    with atomic_path(path) as temporary:
        np.savez(temporary, name=np.array(name), step=np.array(step), **arrays)


def load_prior(path: Path, name: str, step: int) -> Prior | None:
    """The prior of a file, or None if there is none of that name for the checkpoint of that step.

    Raises:
      UsageError: the file is damaged, or there is no such prior.
    """
    kind = find_prior(name)
    try:
        with np.load(path) as stored:
            if stored["name"] != name or stored["step"] != step:
                return None
            return kind.from_arrays(
                {
                    key.removeprefix(_ARRAY): stored[key]
                    for key in stored.files
                    if key.startswith(_ARRAY)
                }
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: cannot be read, delete it: {one_line(error)}") from error
