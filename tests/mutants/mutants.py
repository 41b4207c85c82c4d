"""Faults that the tests must find: one place each, of a kind that a person makes.

A fault that was found to pass all tests is kept here beside the tests that were written for it.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A fault.

    Attributes:
      file: from the top of the tree.
      old: text that the file has once.
      new: what is there instead.
      tests: those that must fail, as pytest takes them, under tests/.
    """

    file: str
    old: str
    new: str
    tests: str


BASES = "fourier/test_basis.py"
SERIES = "fourier/test_series.py"
MACHINE = "fourier/test_machine.py"
LOSSES = "generation/test_losses.py"
STEP = "training/test_step.py"
FEED = "generation/test_feed.py"
RATES = "generation/test_learning_rates.py"
VALUES = "configs/test_values.py"
TABLE = "training/test_table.py"
PRIORS = "generation/test_priors.py"
CHECKPOINTS = "training/test_checkpoints.py"
PARTS = "training/test_checkpoint_parts.py"

FOURIER = [
    Mutant(
        "dfm_flax/fourier/bases/additive.py",
        "return (y + coefficients[0][:, None]).T",
        "return y.T",
        f"{BASES}::test_series_are_the_sums_over_the_frequencies",
    ),
    Mutant(
        "dfm_flax/fourier/basis.py",
        "angles = 2 * np.pi *",
        "angles = np.pi *",
        f"{BASES}::test_series_are_those_of_the_base_class",
    ),
    Mutant(
        "dfm_flax/fourier/basis.py",
        "decay = (1 + size) ** -0.5",
        "decay = (1 + size) ** -1.0",
        f"{BASES}::test_initial_deviations",
    ),
    Mutant(
        "dfm_flax/fourier/harmonics.py",
        "return 2 * math.pi * d_x",
        "return math.pi * d_x",
        f"{SERIES}::test_additive_series_is_the_textbook_sum_over_the_axes",
    ),
    Mutant(
        "dfm_flax/fourier/tensor_products.py",
        "np.array([1, -1])[:, None",
        "np.array([1, 1])[:, None",
        f"{SERIES}::test_value_and_gradients_are_the_textbook_sums",
    ),
    Mutant(
        "dfm_flax/fourier/tensor_products.py",
        "row[i] = g",
        "row[i] = 1",
        f"{SERIES}::test_value_and_gradients_are_the_textbook_sums",
    ),
    Mutant(
        "dfm_flax/fourier/tensor_products.py",
        "d_phase = max_frequency * _exact_matmul(",
        "d_phase = _exact_matmul(",
        f"{SERIES}::test_value_and_gradients_are_the_textbook_sums",
    ),
    Mutant(
        "dfm_flax/fourier/trigonometry.py",
        "sign = 1 - 2 * (nearest - 2 * jnp.floor(nearest / 2))",
        "sign = 1.0",
        "fourier/test_trigonometry.py::test_sine_and_cosine_of_both_halves_of_a_period",
    ),
    Mutant(
        "dfm_flax/fourier/machine.py",
        "x = self.extent * positions",
        "x = positions",
        f"{MACHINE}::test_extent_scales_the_positions",
    ),
    Mutant(
        "dfm_flax/fourier/machine.py",
        "if self.residual and m == self.features",
        "if m == self.features",
        f"{MACHINE}::test_residual_only_where_it_is_asked_for_and_sizes_agree",
    ),
    Mutant(
        "dfm_flax/fourier/machine.py",
        "return jnp.tanh(x)",
        "return x",
        f"{MACHINE}::test_machine_is_tanh_of_the_composed_layers",
    ),
    Mutant(
        "dfm_flax/fourier/vectors.py",
        "initial_deviations(m, variance, machine.normalize)",
        "initial_deviations(m, variance)",
        "fourier/test_vectors.py::test_deviations_are_those_of_drawn_machines",
    ),
]

GENERATORS = [
    Mutant(
        "dfm_flax/generation/losses.py",
        "penalty * jnp.mean(jnp.sum(latents**2, axis=-1))",
        "penalty * jnp.mean(latents**2)",
        f"{LOSSES}::test_equation_4_8",
    ),
    Mutant(
        "dfm_flax/generation/losses.py",
        "penalty * jnp.mean(jnp.sum(latents**2, axis=-1))",
        "penalty * jnp.mean(jnp.sum(decoded**2, axis=-1))",
        f"{LOSSES}::test_noise_is_added_to_what_is_decoded_and_not_to_what_is_penalized",
    ),
    Mutant(
        "dfm_flax/generation/losses.py",
        "squares, per_channel = squared_error(error)",
        "per_channel, squares = squared_error(error)",
        f"{LOSSES}::test_equation_4_8",
    ),
    Mutant(
        "dfm_flax/generation/losses.py",
        "minval=-jitter, maxval=jitter",
        "minval=0.0, maxval=jitter",
        f"{LOSSES}::test_jitter_moves_to_both_sides_alike",
    ),
    Mutant(
        "dfm_flax/generation/generators/vae.py",
        "divergence = 0.5 * (mean**2",
        "divergence = (mean**2",
        f"{LOSSES}::test_a_bernoulli_bound_is_its_expectation",
    ),
    Mutant(
        "dfm_flax/generation/generators/vae.py",
        "jnp.exp(log_variance / 2) * batch.noise",
        "jnp.exp(log_variance) * batch.noise",
        f"{LOSSES}::test_what_a_vae_decodes_is_drawn_from_its_posterior",
    ),
    Mutant(
        "dfm_flax/generation/generators/vae.py",
        "/ jnp.exp(spread) + spread)",
        "/ jnp.exp(spread))",
        f"{LOSSES}::test_a_gaussian_bound_has_the_learned_variance",
    ),
    Mutant(
        "dfm_flax/generation/generators/dfm.py",
        "model.variance if gaussian else 0.0",
        "0.0",
        "generation/test_generator.py::test_all_networks_of_the_thesiss_configs_have_its_variance",
    ),
    Mutant(
        "dfm_flax/generation/inversion.py",
        "errors + penalty * jnp.sum(latents**2, axis=-1)",
        "errors",
        "generation/test_inversion.py",
    ),
    Mutant(
        "dfm_flax/generation/great_circle.py",
        "((1 - fraction) * lengths[0] + fraction * lengths[1])",
        "lengths[0]",
        "generation/test_great_circle.py",
    ),
    Mutant(
        "dfm_flax/training/losses.py",
        "jnp.mean(jnp.sum(jnp.square(error), axis=-1))",
        "jnp.mean(jnp.sum(jnp.abs(error), axis=-1))",
        "compression/test_losses.py",
    ),
]

STEPS = [
    Mutant(
        "dfm_flax/training/step.py",
        "rng = jax.random.fold_in(state.rng, state.step)",
        "rng = state.rng",
        f"{FEED}::test_no_step_has_the_random_numbers_of_another",
    ),
    Mutant(
        "dfm_flax/training/step.py",
        "return loss(params, filled, rng)",
        "return loss(params, filled, state.rng)",
        f"{FEED}::test_no_step_has_the_random_numbers_of_another",
    ),
    Mutant(
        "dfm_flax/training/step.py",
        "decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))",
        "decay = ema_decay",
        f"{FEED}::test_steps_are_those_of_a_plain_loop",
    ),
    Mutant(
        "dfm_flax/training/step.py",
        "jax.lax.axis_index(DEVICES) * size, size)",
        "jax.lax.axis_index(DEVICES) * size + 1, size)",
        f"{STEP}::test_shards_are_the_parts_of_a_batch_in_order",
    ),
    Mutant(
        "dfm_flax/training/step.py",
        "jax.lax.axis_index(DEVICES) * size, size)",
        "0 * size, size)",
        f"{STEP}::test_a_step_on_many_devices_is_that_on_one",
    ),
    Mutant(
        "dfm_flax/training/step.py",
        "return gathered / jax.lax.axis_size(DEVICES)",
        "return gathered",
        f"{TABLE}::test_gathered_gradients_are_in_the_order_of_the_batch",
    ),
    Mutant(
        "dfm_flax/training/step.py",
        "jax.lax.pmean((",
        "jax.lax.psum((",
        f"{STEP}::test_a_step_on_many_devices_is_that_on_one",
    ),
    Mutant(
        "dfm_flax/training/step.py",
        'is_new = (first_bad < 0) & ~jnp.isfinite(metrics["loss"])',
        'is_new = ~jnp.isfinite(metrics["loss"])',
        f"{STEP}::test_the_first_step_with_a_bad_loss_is_named_for_its_machine",
    ),
    Mutant(
        "dfm_flax/training/state.py",
        "return self.params if self.ema is None else self.ema",
        "return self.params",
        f"{FEED}::test_images_are_drawn_with_the_average_where_there_is_one",
    ),
]

SCHEDULES = [
    Mutant("configs/mnist.py", "latent_penalty = 0.5", "latent_penalty = 0.25", VALUES),
    Mutant("configs/mnist.py", "0.5 / _PIXELS", "0.25 / _PIXELS", VALUES),
    Mutant("configs/mnist.py", "rate = 1e-7", "rate = 1e-6", VALUES),
    Mutant("configs/cifar10.py", "(10.0, 1000.0)", "(1000.0, 10.0)", VALUES),
    Mutant(
        "configs/compress.py",
        "config.data.crop = (400, 400)",
        "config.data.crop = (400, 400)\n    config.training.batch_size = 128",
        VALUES,
    ),
    Mutant(
        "dfm_flax/training/optimizers.py",
        "optax.linear_schedule(*ratios, num_steps)",
        "optax.linear_schedule(*ratios[::-1], num_steps)",
        f"{RATES}::test_learning_rates_are_the_thesiss",
    ),
    Mutant(
        "dfm_flax/training/optimizers.py",
        "key if key in learning_rates else",
        "",
        f"{RATES}::test_groups_move_at_their_own_learning_rates",
    ),
    Mutant(
        "dfm_flax/training/optimizers.py",
        "decay_steps = num_steps - warmup",
        "decay_steps = num_steps",
        "training/test_optimizers.py",
    ),
    Mutant(
        "dfm_flax/generation/learning_rates.py",
        "config.model.latents: slow}",
        "config.model.latents: learning_rate}",
        f"{RATES}::test_learning_rates_are_the_thesiss",
    ),
    Mutant(
        "dfm_flax/generation/run.py",
        "float(schedule(step - 1))",
        "float(schedule(step))",
        f"{RATES}::test_the_logged_rates_are_those_that_the_weights_moved_at",
    ),
]

TABLES = [
    Mutant(
        "dfm_flax/training/table.py",
        "mu_hat = mu / (1 - b1**count)[:, None]",
        "mu_hat = mu",
        f"{TABLE}::test_rows_are_updated_by_the_adam_of_their_own_steps",
    ),
    Mutant(
        "dfm_flax/training/table.py",
        "same = index[:, None] == index",
        "same = jnp.eye(len(index), dtype=bool)",
        f"{TABLE}::test_rows_are_updated_by_the_adam_of_their_own_steps",
    ),
    Mutant(
        "dfm_flax/training/table.py",
        "count = since + i + 1",
        "count = since + i + 2",
        f"{TABLE}::test_one_long_coast_is_that_of_float64",
    ),
    Mutant(
        "dfm_flax/training/table.py",
        "learning_rate(since + i)",
        "learning_rate(since)",
        f"{TABLE}::test_one_long_coast_is_that_of_float64",
    ),
    Mutant(
        "dfm_flax/training/table.py",
        "set(nu * _power(b2, missed)[:, None])",
        "set(nu)",
        f"{TABLE}::test_coasting_in_parts_is_coasting_at_once",
    ),
    Mutant(
        "dfm_flax/training/table.py",
        "np.asarray(jax.jit(self._settled)(few, step))",
        "np.asarray(few.latents)",
        f"{FEED}::test_a_dense_table_is_a_parameter_of_optax",
    ),
]

CODEC = [
    Mutant(
        "dfm_flax/codec/entropy.py",
        "(ratio >> 8, ratio * root >> 24, ratio * ratio >> 24)",
        "(ratio >> 8, ratio * ratio >> 24, ratio * root >> 24)",
        "codec/test_entropy.py::test_tables_are_those_bell_curves",
    ),
    Mutant(
        "dfm_flax/codec/quantized.py",
        "np.rint(np.asarray(params",
        "np.floor(np.asarray(params",
        "codec/test_quantized.py::test_quantize_rounds_to_the_nearest",
    ),
    Mutant(
        "dfm_flax/codec/rounding.py",
        "np.minimum(np.floor(self._codes + finer), self._finest)",
        "np.floor(self._codes + finer)",
        "codec/test_rounding.py::test_steps_are_never_too_fine_for_a_weight",
    ),
    Mutant(
        "dfm_flax/codec/container.py",
        "if end < start or _CHECKSUM.pack(zlib.crc32(data[:end])) != data[end:]:",
        "if end < start:",
        "codec/test_container.py::test_wrong_kind_version_and_checksum",
    ),
    Mutant(
        "dfm_flax/codec/budget.py",
        "mean * log_ratio) / math.log(2)",
        "mean * log_ratio)",
        "codec/test_budget.py::test_entropy_of_the_two_sided_geometric",
    ),
    Mutant(
        "dfm_flax/codec/budget.py",
        "weights.shape) - 0.5",
        "weights.shape)",
        "codec/test_budget.py::test_noise_is_one_step_wide",
    ),
    Mutant(
        "dfm_flax/codec/budget.py",
        "jax.lax.stop_gradient(jnp.round(weights / size) - weights / size)",
        "jnp.round(weights / size) - weights / size",
        "codec/test_budget.py::test_rounding_passes_gradients_on",
    ),
    Mutant(
        "dfm_flax/codec/laplace.py",
        "REACH + 1) - 8 - fraction",
        "REACH + 1) - 8 + fraction",
        "codec/test_laplace.py::test_tables_are_those_distributions",
    ),
    Mutant(
        "dfm_flax/codec/context_model.py",
        "(mean + (1 << 23)) >> 24",
        "mean >> 24",
        "codec/test_grids.py::test_words_are_those_of_before",
    ),
    Mutant(
        "dfm_flax/codec/grids.py",
        "yield y, t - 3 * y",
        "yield y[::-1], t - 3 * y[::-1]",
        "codec/test_grids.py::test_words_are_those_of_before",
    ),
    Mutant(
        "dfm_flax/codec/powers.py",
        "-(code // 8)",
        "-(code // 8) - 1",
        "codec/test_powers.py::test_steps_are_the_nearest_float32",
    ),
    Mutant(
        "dfm_flax/models/grids.py",
        "signs * np.sin(2 * half * centers)",
        "np.sin(2 * half * centers)",
        "models/test_grids.py::test_between_them_it_is_the_sum_of_cosines",
    ),
    Mutant(
        "dfm_flax/codec/context_model.py",
        "(mean << fineness)",
        "mean",
        "codec/test_context_model.py::test_the_series_are_those_of_real_numbers",
    ),
    Mutant(
        "dfm_flax/codec/pyramid/network.py",
        "log_scale + fineness",
        "log_scale - fineness",
        "codec/pyramid/test_network.py::test_bits_are_the_textbooks",
    ),
    Mutant(
        "dfm_flax/codec/pyramid/rate.py",
        "outside = near * rates / math.log(2)",
        "outside = distances * rates / math.log(2)",
        "codec/pyramid/test_rate.py::test_bits_are_those_of_the_mass",
    ),
    Mutant(
        "dfm_flax/codec/pyramid/weights.py",
        "np.rint(np.ldexp(from_start",
        "np.floor(np.ldexp(from_start",
        "codec/pyramid/test_weights.py::test_weights_are_rounded_to_steps_from_the_start",
    ),
    Mutant(
        "dfm_flax/codec/pyramid/body.py",
        "if max(height, width) > MAX_SIDE:",
        "if False:",
        "codec/pyramid/test_body.py::test_hostile_files_are_one_line",
    ),
    Mutant(
        "dfm_flax/codec/pyramid/rendering.py",
        "0.5, size - 0.5)",
        "0.5, size)",
        "codec/pyramid/test_rendering.py::test_any_size_is_the_same_function_at_other_positions",
    ),
    Mutant(
        "dfm_flax/codec/pyramid/thinning.py",
        "np.argsort(price[taken]",
        "np.argsort(-price[taken]",
        "codec/pyramid/test_thinning.py::test_the_first_save_the_most_bits_for_their_error",
    ),
    Mutant(
        "dfm_flax/codec/pyramid/thinning.py",
        "return own + jnp",
        "return own - jnp",
        "codec/pyramid/test_thinning.py::test_the_bits_of_a_step_are_those_of_its_dependents_too",
    ),
    Mutant(
        "dfm_flax/codec/pyramid/rounding.py",
        "codes = min(starts, key=lambda codes: self._cost(codes, worth))",
        "codes = starts[8]",
        "codec/pyramid/test_rounding.py::test_the_cost_is_below_that_of_all_common_steps",
    ),
]

LATENTS = [
    Mutant(
        "dfm_flax/generation/priors/gaussian.py",
        "np.linalg.cholesky(covariance + identity)",
        "np.linalg.cholesky(np.diag(np.diag(covariance)) + identity)",
        f"{PRIORS}::test_gaussian_has_the_covariance",
    ),
    Mutant(
        "dfm_flax/generation/priors/gmm.py",
        "np.linalg.cholesky(model.covariances_)",
        "np.linalg.cholesky(model.covariances_ * np.eye(latents.shape[1]))",
        f"{PRIORS}::test_each_gaussian_of_a_mixture_has_a_full_covariance",
    ),
    Mutant(
        "dfm_flax/generation/priors/normal.py",
        "latents.std(axis=0)",
        "latents.var(axis=0)",
        f"{PRIORS}::test_normal_has_the_mean_and_deviation_of_each_entry",
    ),
    Mutant(
        "dfm_flax/generation/mixture.py",
        "@ self.factors[k].T",
        "@ self.factors[k]",
        f"{PRIORS}::test_gaussian_has_the_covariance",
    ),
    Mutant(
        "dfm_flax/generation/mixture.py",
        " + size / 2 * np.log(2 * np.pi)",
        "",
        "generation/test_mixture.py::test_the_density_is_that_of_scipy",
    ),
]

FILES = [
    Mutant(
        "dfm_flax/training/checkpoints.py",
        "if _digest_of_leaf(leaf, name in (rows or ())) != leaves[name]:",
        "if False:",
        f"{PARTS}::test_parts_with_other_bytes_are_refused",
    ),
    Mutant(
        "dfm_flax/training/checkpoints.py",
        'return "" if found == progress["digest"] else "it does not match its digest"',
        'return ""',
        f"{CHECKPOINTS}::test_a_damaged_newest_is_told_and_passed_over",
    ),
    Mutant(
        "dfm_flax/training/checkpoints.py",
        "json.dumps([leaves, rows, list(history)], sort_keys=True)",
        "json.dumps([leaves, rows], sort_keys=True)",
        f"{CHECKPOINTS}::test_a_damaged_newest_is_told_and_passed_over",
    ),
]

FEEDS = [
    Mutant(
        "dfm_flax/generation/feed.py",
        "/ 127.5 - 1",
        "/ 128 - 1",
        f"{FEED}::test_steps_are_those_of_a_plain_loop",
    ),
    Mutant(
        "dfm_flax/generation/feed.py",
        "noise_rng = jax.random.split(rng, 3)[0]",
        "noise_rng = jax.random.PRNGKey(0)",
        f"{FEED}::test_noise_is_new_at_each_step_and_standard_normal",
    ),
    Mutant(
        "dfm_flax/data/shuffling.py",
        "_round_keys(rng, epoch + ahead)",
        "_round_keys(rng, ahead)",
        "data/test_shuffling.py::test_the_stream_does_not_depend_on_the_batch_size",
    ),
    Mutant(
        "dfm_flax/data/positions.py",
        "x = (column + 0.5) / width",
        "x = column / width",
        "data/test_positions.py::test_positions_are_pixel_centers_in_the_unit_square",
    ),
    Mutant(
        "dfm_flax/training/feed.py",
        "self.target.draw(rng, self.batch_size, self.stratified)",
        "self.target.draw(rng, self.batch_size)",
        "training/test_feed.py",
    ),
]

MUTANTS = [*FOURIER, *GENERATORS, *STEPS, *SCHEDULES, *TABLES, *CODEC, *LATENTS, *FILES, *FEEDS]
