"""The hardware suite: `pytest --gpudiscover-hardware`, on any machine with a GPU.

Its tests hold what a discovery says against what the machine itself says, and put its GPUs to work. What is
not there is skipped with the reason, unless `--gpudiscover-require` names it. docs/hardware.md says what each
shows.
"""
