"""What Hypothesis draws for our types by itself: `st.from_type(DeviceInfo)`, or an argument of that type.

Hypothesis calls `register` at the end of its own import (entry point group `hypothesis`). The strategies are
loaded when one is drawn from: whoever imports Hypothesis for something else pays for the types alone.
"""

from __future__ import annotations


def register() -> None:
    """Tell Hypothesis which strategies are for our types."""
    from hypothesis.strategies import SearchStrategy, register_type_strategy

    from pytest_gpudiscover.devices import DeviceID, DeviceInfo
    from pytest_gpudiscover.simulation.hosts import FakeHost

    def device_ids(_: type[DeviceID]) -> SearchStrategy[DeviceID]:
        from pytest_gpudiscover import strategies

        return strategies.device_ids()

    def devices(_: type[DeviceInfo]) -> SearchStrategy[DeviceInfo]:
        from pytest_gpudiscover import strategies

        return strategies.devices()

    def hosts(_: type[FakeHost]) -> SearchStrategy[FakeHost]:
        from pytest_gpudiscover import strategies

        return strategies.hosts()

    register_type_strategy(DeviceID, device_ids)
    register_type_strategy(DeviceInfo, devices)
    register_type_strategy(FakeHost, hosts)
