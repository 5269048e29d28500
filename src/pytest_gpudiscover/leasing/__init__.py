"""Leases: GPUs that one test, or one command, holds while everybody else on this machine waits.

`arbitration` decides who gets which card, as a function of who holds and who waits. `book` is the directory
in which all processes of a machine write that down, under locks of the kernel. `waiting.acquire` joins them.
"""
