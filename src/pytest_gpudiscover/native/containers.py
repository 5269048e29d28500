"""What tells that a process is in a container: names of files, and words in them. Linux only.

The files are put there by Docker, Podman, Kubernetes, and whatever tells systemd its name ("Container
Interface").
"""

from __future__ import annotations

LEFT_BEHIND = {
    "/run/secrets/kubernetes.io": "kubernetes",
    "/var/run/secrets/kubernetes.io": "kubernetes",
    "/.dockerenv": "docker",
    "/run/.containerenv": "podman",
}
"""Files and directories that are in containers alone, and of which kind; the best first."""
TOLD_TO_SYSTEMD = "/run/systemd/container"
"""Holds the kind, as the container's manager names it."""
CONTROL_GROUP = "/proc/1/cgroup"
"""That of the first process. On a host it is in no container's, whatever service started this process."""
GROUPS = {
    "kubepods": "kubernetes",
    "docker": "docker",
    "libpod": "podman",
    "containerd": "containerd",
    "lxc": "lxc",
}
"""Words in the names of containers' control groups, and of which kind; the best first."""
