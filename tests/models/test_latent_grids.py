import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from dfm_flax.data.positions import pixel_positions
from dfm_flax.fourier import FourierMachine
from dfm_flax.models.grids import cosine_matrix
from dfm_flax.models.latent_grids import GridDecoder, GridEncoder

MACHINE = FourierMachine(
    3, 6, 3, "additive", variances=(0.1, 0.1, 0.1), normalize=True, arguments=4 + 2
)
DECODER = GridDecoder(cells=3, machine=MACHINE, features=8, blocks=1)
LATENTS = jax.random.normal(jax.random.PRNGKey(0), (5, 3 * 3 * 2))


def drawn(params, latents, height, width):
    draw = jax.jit(DECODER.apply, static_argnums=(3, 4))
    return draw({"params": params}, latents, np.arange(height * width), height, width)


def somewhere(start):
    """Parameters around those: blocks start as adding nothing."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.3, leaf.shape).astype("f4"), start)


@pytest.fixture(scope="module")
def params():
    start = jax.jit(lambda rng: DECODER.init(rng, LATENTS, np.arange(1), 1, 1))
    return somewhere(start(jax.random.PRNGKey(1))["params"])


def layer_norm(x, params):
    x = x - x.mean(axis=-1, keepdims=True)
    return (
        x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * params["scale"] + params["bias"]
    )


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def dense(x, params):
    return x @ params["kernel"] + params["bias"]


def textbook_network(x, params):
    """The blocks and the last layer in float64; neighbors by SciPy's correlation."""
    block = params["block_0"]
    seen = np.stack(
        [
            [
                scipy.ndimage.correlate(image[..., i], block["neighbors"][..., i], mode="constant")
                for i in range(x.shape[-1])
            ]
            for image in x
        ]
    ).transpose(0, 2, 3, 1)
    hidden = gelu(dense(layer_norm(seen, block["norm"]), block["hidden"]))
    x = x + dense(hidden, block["added"])
    return dense(gelu(layer_norm(x, params["norm"])), params["outputs"])


def test_colors_are_the_machine_of_the_series_and_the_position_within_a_cell(params):
    params64 = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    grid = np.asarray(LATENTS, np.float64).reshape(5, 3, 3, 2)
    values = textbook_network(dense(grid, params64["inputs"]), params64)
    rows, columns = (cosine_matrix(3, 3 * (np.arange(n) + 0.5) / n) for n in (4, 6))
    series = np.einsum("yj,bjis,xi->byxs", rows, values, columns).reshape(5, 24, 4)
    places = 3 * np.asarray(pixel_positions(np.arange(24), 4, 6))
    arguments = np.concatenate([series, np.broadcast_to(places % 1, (5, 24, 2))], axis=-1)
    machine = {"params": params["machine"]}
    # The machine's residual is of hidden layers alone: no argument is added that is not periodic.
    assert MACHINE.widths == [6, 6, 6, 3]
    expected = MACHINE.apply(machine, arguments.astype(np.float32))
    np.testing.assert_allclose(drawn(params, LATENTS, 4, 6), expected, atol=2e-4)


def test_an_image_at_another_size_is_the_same_function(params):
    """Every third pixel of a grid three times as fine lies where a pixel of the coarse one does."""
    coarse = drawn(params, LATENTS, 5, 7).reshape(5, 5, 7, 3)
    fine = drawn(params, LATENTS, 15, 21).reshape(5, 15, 21, 3)
    np.testing.assert_allclose(fine[:, 1::3, 1::3], coarse, atol=1e-4)


def test_no_seam_is_seen_where_cells_meet(params):
    """What differs on both sides of a border of cells falls with the distance."""
    at = jax.jit(lambda x: DECODER.apply({"params": params}, LATENTS, x, method="at"))
    for border in (1 / 3, 2 / 3):
        x = border + np.array([-1e-4, -1e-5, 1e-5, 1e-4])
        colors = at(np.stack([x, np.full(4, 0.4)], axis=-1))
        far, near = colors[:, 0] - colors[:, 3], colors[:, 1] - colors[:, 2]
        assert np.abs(near).max() < 0.15 * np.abs(far).max()


def test_a_latent_is_seen_in_its_cell_and_the_neighbors(params):
    """What a cell says goes through one block, so to the cells around it, before it is a series."""
    decoder = GridDecoder(cells=5, machine=MACHINE, features=8, blocks=1)
    latents = jnp.zeros((1, 50))
    changed = latents.at[0, 0].set(1.0)
    index = np.arange(25)
    colors = [
        decoder.apply({"params": params}, z, index, 5, 5).reshape(5, 5, 3)
        for z in (latents, changed)
    ]
    # At the centers of cells a series is its own value alone.
    differs = np.abs(colors[0] - colors[1]).max(axis=-1) > 1e-4
    expected = np.zeros((5, 5), bool)
    expected[:2, :2] = True
    np.testing.assert_array_equal(differs, expected)


def test_the_encoder_sees_a_cell_and_its_neighbors():
    encoder = GridEncoder(cells=4, size=3, features=8, blocks=1)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 12, 3)).astype(np.float32)
    params = somewhere(encoder.init(jax.random.PRNGKey(0), images)["params"])
    encode = jax.jit(lambda x: encoder.apply({"params": params}, x).reshape(2, 4, 4, 3))
    changed = images.copy()
    changed[:, 7, 11] += 1.0  # of the last cell
    differs = np.abs(encode(images) - encode(changed)).max(axis=(0, 3)) > 1e-5
    expected = np.zeros((4, 4), bool)
    expected[2:, 2:] = True
    np.testing.assert_array_equal(differs, expected)


def test_an_image_that_cells_do_not_divide_goes_on_with_its_edge():
    encoder = GridEncoder(cells=4, size=3, features=8, blocks=1)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 7, 10, 1)).astype(np.float32)
    params = encoder.init(jax.random.PRNGKey(0), images)
    padded = np.pad(images, [(0, 0), (0, 1), (0, 2), (0, 0)], mode="edge")
    found, expected = (encoder.apply(params, each) for each in (images, padded))
    assert found.shape == (2, 48)
    np.testing.assert_array_equal(found, expected)
