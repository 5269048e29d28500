"""The plugin beside pytest-forked, which runs each test in a fork of pytest: `tox run -e beside-forked`.

It has an environment of its own because it does not work with the newest pytest: with 1.7.5 and pytest 9.2
every forked test fails, with or without us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from company import Run, assert_right

if TYPE_CHECKING:
    import pytest

FORKED = ("pytest_forked", "--forked", "-Wignore::pytest.PytestUnraisableExceptionWarning")
"""It leaves files open in each child, with or without us."""


def test_beside_forked_all_is_right(run_beside: Run) -> None:
    assert_right(run_beside(*FORKED))


def test_a_forked_test_that_dies_in_its_lease_frees_it(run_beside: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_dying="""
        import os
        import signal
        import pytest

        @pytest.mark.gpu(count=2)
        def test_dies(gpu_lease):
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert_right(run_beside(*FORKED), failed=1)
