"""A program that behaves like a GPU runner on any machine: a host file says what it simulates.

Decide first, then perform: `scripts.script` turns a host, a variant and an environment into a `Script`, which
is data; `serving` performs it. Nothing here imports more than the standard library, and little of that.
"""
