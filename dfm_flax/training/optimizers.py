"""Optimizers and schedules of learning rates by name, from a config's `optimizer` section."""

from typing import TypeVar

import optax
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.training.soap import soap

_T = TypeVar("_T")


def check_optimizer(config: ConfigDict, num_steps: int) -> None:
    """Raises UsageError for a section `optimizer` that makes no sense."""
    warmup = config.warmup_steps
    if config.learning_rate <= 0 or config.final_learning_rate < 0 or warmup < 0:
        raise UsageError(
            "optimizer: learning rates and warmup_steps cannot be negative, nor learning_rate 0"
        )
    if num_steps < 1:
        raise UsageError(f"training.num_steps={num_steps}: train for 1 step or more")
    if warmup >= num_steps:
        raise UsageError(f"optimizer.warmup_steps={warmup} leaves nothing of {num_steps} steps")
    if not all(0 <= decay < 1 for decay in (config.b1, config.b2)):
        raise UsageError(f"optimizer: b1={config.b1}, b2={config.b2} must be from 0 to below 1")
    make_optimizer(config, num_steps)


def make_schedule(config: ConfigDict, num_steps: int) -> optax.Schedule:
    """The learning rate at each step.

    `config.schedule` is 'constant', 'linear' or 'cosine', from `config.learning_rate` to
    `config.final_learning_rate` at `num_steps`, after `config.warmup_steps` rising linearly
    from 0.
    """
    peak, final, warmup = config.learning_rate, config.final_learning_rate, config.warmup_steps
    decay_steps = num_steps - warmup
    schedules = {
        "constant": lambda: optax.constant_schedule(peak),
        "linear": lambda: optax.linear_schedule(peak, final, decay_steps),
        "cosine": lambda: optax.cosine_decay_schedule(peak, decay_steps, alpha=final / peak),
    }
    main = _choose("optimizer.schedule", config.schedule, schedules)()
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), main], [warmup])


def slowed(
    learning_rate: optax.Schedule, ratios: tuple[float, float], num_steps: int
) -> optax.Schedule:
    """A learning rate over a ratio that runs linearly from the first to the second."""
    if len(ratios) != 2 or min(ratios) <= 0:
        raise UsageError(f"optimizer.latent_ratios={ratios}: give two positive numbers")
    ratio = optax.linear_schedule(*ratios, num_steps)
    return lambda step: learning_rate(step) / ratio(step)


def make_optimizer(config: ConfigDict, num_steps: int) -> optax.GradientTransformation:
    """The optimizer `config.name`, 'adam' or 'soap', under the schedule of `make_schedule`.

    The learning rates and b1, b2 may be arrays, also traced ones; `check_optimizer` is for numbers.
    """
    return _with_learning_rate(config, make_schedule(config, num_steps))


def make_grouped_optimizer(
    config: ConfigDict, learning_rates: dict[str, optax.Schedule]
) -> optax.GradientTransformation:
    """`make_optimizer` with a learning rate for each top-level group of the parameters.

    Parameters under the name of a learning rate get it; all others that under 'decoder'.
    """
    return optax.multi_transform(
        {
            group: _with_learning_rate(config, learning_rate)
            for group, learning_rate in learning_rates.items()
        },
        lambda params: {key: key if key in learning_rates else "decoder" for key in params},
    )


def _with_learning_rate(
    config: ConfigDict, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
    decays = {"b1": config.b1, "b2": config.b2}
    optimizers = {
        "adam": lambda: optax.adam(learning_rate, **decays),
        "soap": lambda: soap(learning_rate, **decays, refresh_every=_refresh_every(config)),
    }
    return _choose("optimizer.name", config.name, optimizers)()


def _refresh_every(config: ConfigDict) -> int:
    steps = config.get("refresh_every", 0)
    if steps < 1:
        raise UsageError(
            "optimizer.name='soap' needs optimizer.refresh_every in the config file: "
            "the steps between refreshes of the eigenbases, such as 20"
        )
    return steps


def _choose(setting: str, name: str, choices: dict[str, _T]) -> _T:
    if name not in choices:
        raise UsageError(f"{setting}={name!r} is not one of {', '.join(choices)}")
    return choices[name]
