"""How runners answer, and what is known of one: apart from what asks, which is slow to import."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Speech(enum.StrEnum):
    """How a runner answers."""

    INFO = "info"
    """It serves `GET /info`: Ollama up to 0.2x, and everybody else's runners."""
    GPU_DISCOVER = "gpu-discover"
    """It prints its answer: Ollama from 0.30 on."""


@dataclass
class Heard:
    """What has been found out of a runner.

    Attributes:
        speech: how it answers; None as long as nobody knows.
    """

    speech: Speech | None = None
