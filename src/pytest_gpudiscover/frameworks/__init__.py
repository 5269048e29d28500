"""Whether torch, CuPy and JAX see the devices that we see, behind the masks that we emit.

`program` asks one framework, in a process of its own; `asking` starts that process; `comparing` judges
what it said, and `wording` says so; `checking` puts the questions in order.
"""
