"""What a run tells of itself besides its losses: speed, memory, where its time goes."""

import jax
import psutil

from dfm_flax.training.loop import Progress

OPERATIONS = 6  # of a weight at an example: 2 for the value, and for the gradients in both


def performance(progress: Progress, batch_size: int, operations: float) -> dict[str, float]:
    """Metrics for TensorBoard, since the last call of `on_log`.

    speed/examples_per_second and speed/useful_gigaflops of all devices together;
    memory/gigabytes, the most that the first device held, or where it does not say, as on a CPU,
    what this process holds; and seconds/steps, seconds/input, seconds/log and seconds/checkpoint:
    of steps with their dispatch, of waits for a stream in which the devices had nothing to do
    (0 where the data are on them), of logging with its pictures, and of the hold up by a
    checkpoint that is otherwise written in the background.

    Args:
      batch_size: examples of a step.
      operations: floating point operations of a step that any implementation must do.
    """
    device = jax.local_devices()[0].memory_stats() or {}
    memory = device.get("peak_bytes_in_use") or psutil.Process().memory_info().rss
    return {
        "speed/examples_per_second": progress.steps_per_second * batch_size,
        "speed/useful_gigaflops": progress.steps_per_second * operations / 1e9,
        "memory/gigabytes": memory / 1e9,
        **{f"seconds/{name}": seconds for name, seconds in progress.seconds.items()},
    }
