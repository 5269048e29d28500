"""Lives of machines: whatever happens to one and to a discovery of it, drawn from a seed, and held to laws.

A life is a seed and a few words, so that one which broke a law can be lived again, and kept as a test.
"""

from pytest_gpudiscover.simulation.lives.laws import BrokenLawError
from pytest_gpudiscover.simulation.lives.life import Life
from pytest_gpudiscover.simulation.lives.settings import Killable, Setting, VirtualSetting
from pytest_gpudiscover.simulation.lives.worlds import World

__all__ = ["BrokenLawError", "Killable", "Life", "Setting", "VirtualSetting", "World"]
