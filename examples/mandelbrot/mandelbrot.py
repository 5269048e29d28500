"""Draw the Mandelbrot set on the GPUs that this process sees: `python mandelbrot.py cuda:0 cuda:1`.

Each GPU draws some of the rows. `cpu` draws them without any GPU, and without PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

WIDTH, HEIGHT = 72, 24
SHADES = " .:-=+*#%@"
STEPS = 40


def plane(row: int) -> list[complex]:
    """The points of the complex plane that a row of the picture shows."""
    imaginary = 1.2 - 2.4 * row / (HEIGHT - 1)
    return [complex(-2.2 + 3.2 * column / (WIDTH - 1), imaginary) for column in range(WIDTH)]


def escaped_on_cpu(points: Sequence[complex]) -> list[int]:
    """After how many steps each point leaves the circle of radius 2."""
    counts = []
    for point in points:
        z, steps = 0j, 0
        while abs(z) <= 2 and steps < STEPS:
            z, steps = z * z + point, steps + 1
        counts.append(steps)
    return counts


def escaped_on_gpu(points: Sequence[complex], device: str) -> list[int]:
    """The same, on a GPU."""
    import torch

    c = torch.tensor(points, dtype=torch.complex128, device=device)
    z, counts = torch.zeros_like(c), torch.zeros(len(points), dtype=torch.int64, device=device)
    for _ in range(STEPS):
        inside = z.abs() <= 2
        counts += inside
        z = torch.where(inside, z * z + c, z)
    return [int(count) for count in counts.tolist()]


def shares(devices: Sequence[str]) -> list[tuple[str, range]]:
    """Which rows each device draws."""
    return [(device, range(number, HEIGHT, len(devices))) for number, device in enumerate(devices)]


def picture(devices: Sequence[str]) -> list[str]:
    """Draw the set, one line of text for each row."""
    rows = [""] * HEIGHT
    for device, share in shares(devices):
        for row in share:
            points = plane(row)
            counts = escaped_on_cpu(points) if device == "cpu" else escaped_on_gpu(points, device)
            rows[row] = "".join(SHADES[count * (len(SHADES) - 1) // STEPS] for count in counts)
    return rows


if __name__ == "__main__":
    print(*picture(sys.argv[1:]), sep="\n")
