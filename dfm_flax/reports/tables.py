"""Results as a table on the terminal."""

from typing import Any

from dfm_flax.terminal import printable


def print_table(results: list[dict[str, Any]]) -> None:
    """Prints rows of equal keys in aligned columns, the first to the left; None as a dash."""
    rows = [list(results[0])]
    rows += [[_format(value) for value in result.values()] for result in results]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([row[0].ljust(len(first)), *others]))


def _format(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else printable(value)
