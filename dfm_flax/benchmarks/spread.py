"""How far apart the outputs of each layer are at the start, and how large its gradients.

    python -m dfm_flax.benchmarks.spread [IMAGE]

For a layer to use its period, its arguments must spread over a good part of one; beyond half a
period they fold over. Gradients that differ by orders from layer to layer want different learning
rates.
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dfm_flax.config import load_config
from dfm_flax.data.images import prepare, read_image
from dfm_flax.data.positions import Target
from dfm_flax.fourier import FourierMachine
from dfm_flax.models.machine import make_machine
from dfm_flax.typing import Params

_POSITIONS = 4_096


def spread(machine: FourierMachine, target: Target, seed: int = 0) -> list[tuple[float, float]]:
    """For each layer, spread of outputs and size of gradients.

    Returns:
      The standard deviation of the layer's outputs over positions, in periods of the next layer,
      and the root mean square of the loss's gradient in its coefficients.
    """
    index = target.draw(jax.random.PRNGKey(seed), _POSITIONS)
    x, colors = target.at(index)
    params = machine.init(jax.random.PRNGKey(seed), x)["params"]

    def loss(params: Params) -> Float[jax.Array, ""]:
        prediction: Any = machine.apply({"params": params}, x)
        return jnp.mean((prediction - colors) ** 2)

    gradients = jax.grad(loss)(params)
    _, state = machine.apply({"params": params}, x, capture_intermediates=True)
    found = []
    for i in range(machine.depth):
        name = f"layer_{i}"
        outputs = np.asarray(state["intermediates"][name]["__call__"][0])
        gradient = np.asarray(gradients[name]["coefficients"])
        found.append((float(outputs.std(axis=0).mean()), float(np.sqrt(np.mean(gradient**2)))))
    return found


def main(source: str = "sample:astronaut") -> None:
    target = Target.stack([prepare(read_image(source), crop=(400, 400)).pixels])
    target = jax.tree.map(lambda leaf: leaf[0], target)
    thesis = load_config("compress")
    machines = {
        f"best, {weights} weights": make_machine(
            load_config(f"compress_best:{weights}").model.machine, 3
        )
        for weights in (21_600, 3_500)
    }
    machines["thesis, as compress.py"] = make_machine(thesis.model.machine, 3)
    for variance in (2e-5, 2e-4, 2e-3, 2e-2):
        thesis.model.machine.variances = (variance,) * 3
        machines[f"thesis, {variance:g}"] = make_machine(thesis.model.machine, 3)
    for name, machine in machines.items():
        cells = [f"{out:.2g} / {gradient:.1g}" for out, gradient in spread(machine, target)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
