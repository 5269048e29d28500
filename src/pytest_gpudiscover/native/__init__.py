"""A runner of our own: asks the GPU drivers of a machine directly, one process per probe.

Started by path, `python -I .../native runner --ollama-engine --port N`, and told by the environment variable
`GPUDISCOVER_DRIVER` which driver to ask. It answers `GET /info` as any runner does, with two keys more:
`index` and `unusable`.

    __main__ -> interruption                 Ctrl-C, from the first moment on
             -> program -> server            the protocol
                        -> drivers           the registry: which drivers there are, and their libraries
                           -> drivers.vulkan one module a driver, loaded only in the process that asks it
    presence                                 for the engine: is a driver's library here at all?
    containers, versions                     what tells of a container, or of a driver's version; the doctor
                                             asks for the same
    files                                    what small files and directories say

A driver may crash, hang or print what it likes: the process is the fence, and the answer goes over the
socket. Each probe pays for starting it, so what runs in it imports neither `typing` nor `dataclasses`.
"""
