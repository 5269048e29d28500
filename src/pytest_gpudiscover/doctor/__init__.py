"""What a discovery depends on, looked at from outside: facts of a machine in, findings with a next step out.

`gathering` reads the machine; `facts` is what it brings; `rules` judge it, beside the report of a discovery,
and `findings` is what they say. Only `gathering` does I/O. Nothing here loads a driver or opens a device
node: either may hang, and that is what probes are for. A file in `/proc` or `/sys` may ask a driver, too.
"""
