"""The keeper: starts runners for the process that started it, and lets none of them outlive it.

A program of its own, started by path as `python -I -S keeper_program.py HOST`, HOST being the process id of
the one that starts it. Standard input is the control socket. Standard library only, and little of it:
`_socket` and `_signal` instead of `socket` and `signal` halve the start, which the host waits for.

    host ---- keeper ---- warden ---- runner ---- whatever it starts
                |
                +-------- warden ---- runner

Each message on the control socket (one byte) carries three descriptors: a runner's channel, and where its
stdout and stderr go. The keeper forks a warden for it. The warden reads the command and the environment from
the channel, starts the runner in a session of its own, and says on the channel, a line each, a word and a
number:

    refused ERRNO       the runner could not be started; the last word
    started PID
    ended STATUS        the runner ended by itself; the status is that of wait(2)
    gone 0              the runner and everything it had started are killed and reaped; the last word

What ends a runner: the channel's end or anything on it, the keeper's death, and with it the host's death. On
Linux the warden is a child subreaper, so what a runner started becomes the warden's child when it is
orphaned, however it daemonised, and the kernel kills the runner should the warden itself be killed. Elsewhere
only the runner's process group is killed: what left that group escapes.
"""

# ruff: noqa: PTH123, PTH208, SIM105 -- pathlib and contextlib would cost more than the rest of the start

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the typeshed has `signal` only
import _socket
import errno
import os
import select
import sys
import time

CONTROL = 0
DESCRIPTORS = 3
DESCRIPTOR_SIZE = 4
LENGTH_SIZE = 4

# How often the death of a parent is looked for: it sends no event that works everywhere (milliseconds).
PARENT_CHECK = 100
# While killing, how often to look for children that were missed or have just become ours (milliseconds).
KILL_ROUND = 20
# A process stuck inside a driver does not die: SIGKILL waits for it, we stop waiting (seconds).
KILL_PATIENCE = 5.0

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

if sys.platform == "linux":
    import ctypes

    # Looked up before any fork: between fork and exec as little as possible should happen.
    _prctl = ctypes.CDLL(None).prctl
    _prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]

    def process_control(option: int, value: int) -> None:
        """Ask the kernel for something about this process; see prctl(2)."""
        _prctl(option, value, 0, 0, 0)

else:

    def process_control(option: int, value: int) -> None:
        """Do nothing: this system knows no such requests."""


def keep(host: int) -> None:
    """Start a warden for each message, until the control socket ends or the host is gone."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())  # what the host blocks came with us
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # wardens need no reaping
    control = _socket.socket(fileno=CONTROL)
    control.setblocking(True)
    while readable(CONTROL, parent=host):
        message, descriptors = receive(control)
        if not message:
            return
        try:
            if len(descriptors) == DESCRIPTORS:  # fewer: out of descriptors, which the channel's end tells
                start_warden(*descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def readable(descriptor: int, *, parent: int) -> bool:
    """Wait until there is something to read, or an end; False when the parent is gone first."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while os.getppid() == parent:
        if poller.poll(PARENT_CHECK):
            return True
    return False


def receive(control: _socket.socket) -> tuple[bytes, list[int]]:
    """Take one message and its descriptors; no message at the socket's end."""
    room = _socket.CMSG_SPACE(DESCRIPTORS * DESCRIPTOR_SIZE)
    message, attached, _, _ = control.recvmsg(1, room)
    descriptors: list[int] = []
    for level, kind, data in attached:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            whole = len(data) - len(data) % DESCRIPTOR_SIZE
            descriptors += memoryview(data[:whole]).cast("i")
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return message, descriptors


def start_warden(channel: int, stdout: int, stderr: int) -> None:
    """Fork the warden of one runner."""
    keeper = os.getpid()
    try:
        if os.fork():
            return
    except OSError as error:
        say(channel, "refused", error.errno or errno.EAGAIN)
        return
    try:
        # Not the keeper's control socket: while a warden held it, the host could not see the keeper's end.
        os.dup2(os.open(os.devnull, os.O_RDWR), CONTROL)
        Warden(keeper, channel, stdout, stderr).serve()
    except OSError as error:
        say(channel, "refused", error.errno or errno.EAGAIN)
    finally:
        os._exit(0)


def say(channel: int, word: str, number: int) -> None:
    """Tell the host; nobody listens any more once it is gone, which is no reason to stop cleaning up."""
    try:
        os.write(channel, f"{word} {number}\n".encode())
    except OSError:
        pass


class Warden:
    """The parent of one runner, from its start until everything that it started is gone."""

    def __init__(self, keeper: int, channel: int, stdout: int, stderr: int) -> None:
        self._keeper = keeper
        self._channel = channel
        self._stdout = stdout
        self._stderr = stderr
        self._runner = 0
        self._child_ended, self._wakeup = os.pipe()

    def serve(self) -> None:
        """Start the runner, watch it, and end it."""
        self._hear_of_children()
        process_control(PR_SET_CHILD_SUBREAPER, 1)
        request = self._request()
        if request is None or not self._start(*request):
            return
        self._watch()
        self._reap(ours=False)
        say(self._channel, "gone" if self._kill() else "left", 0)

    def _hear_of_children(self) -> None:
        """Have a byte arrive whenever a child ends, so that one poll waits for everything."""
        os.set_blocking(self._child_ended, False)
        os.set_blocking(self._wakeup, False)
        _signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)

    def _request(self) -> tuple[list[bytes], dict[bytes, bytes]] | None:
        """Read what to start and its environment; None when the host left before it had said it all."""
        length = self._read(LENGTH_SIZE)
        body = length and self._read(int.from_bytes(length, "big"))
        if not body:
            return None
        count, *fields = body.split(b"\0")
        command, settings = fields[: int(count)], fields[int(count) :]
        return command, dict(setting.split(b"=", 1) for setting in settings)

    def _read(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            piece = readable(self._channel, parent=self._keeper) and os.read(self._channel, size - len(data))
            if not piece:
                return None
            data += piece
        return data

    def _start(self, command: list[bytes], environment: dict[bytes, bytes]) -> bool:
        """Start the runner and say so, or say why not."""
        failure, failed = os.pipe()
        warden = os.getpid()
        self._runner = os.fork()
        if not self._runner:
            become_runner(warden, command, environment, self._stdout, self._stderr, failed)
        for descriptor in (failed, self._stdout, self._stderr):
            os.close(descriptor)
        refusal = os.read(failure, DESCRIPTOR_SIZE)  # nothing once exec has closed the other end
        os.close(failure)
        if refusal:
            say(self._channel, "refused", int.from_bytes(refusal, "big"))
            return False
        say(self._channel, "started", self._runner)
        return True

    def _watch(self) -> None:
        """Wait for a reason to end the runner; say meanwhile when it ends by itself."""
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        poller.register(self._child_ended, select.POLLIN)
        while os.getppid() == self._keeper:
            events = [descriptor for descriptor, _ in poller.poll(PARENT_CHECK)]
            if self._child_ended in events:
                os.read(self._child_ended, select.PIPE_BUF)
                self._reap(ours=False)
            if self._channel in events:
                return

    def _reap(self, *, ours: bool) -> bool:
        """Reap whatever has ended; False when no child is left.

        Args:
            ours: whether we have sent our SIGKILL, so that a runner that died of it did not end by itself.
        """
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not child:
                return True
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == _signal.SIGKILL
            if child == self._runner and not (ours and killed):
                say(self._channel, "ended", status)

    def _kill(self) -> bool:
        """Kill and reap all children: each round makes the children of those that died ours.

        Returns:
            whether they are gone; one that is stuck in a driver may not be.
        """
        poller = select.poll()
        poller.register(self._child_ended, select.POLLIN)
        deadline = time.monotonic() + KILL_PATIENCE
        while time.monotonic() < deadline:
            self._kill_round()
            if not self._reap(ours=True):
                return True
            if poller.poll(KILL_ROUND):
                os.read(self._child_ended, select.PIPE_BUF)
        return False

    def _kill_round(self) -> None:
        found = children()
        try:
            if found is None:
                os.killpg(self._runner, _signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # the group is gone, or only zombies are left in it, which macOS calls a lack of permission
        for child in found or ():
            try:
                os.kill(child, _signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # gone meanwhile, or it became another user's: not ours to kill


def children() -> list[int] | None:
    """The direct children of this process; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return children_by_search()


def children_by_search() -> list[int] | None:
    """The same on kernels built without the list of children."""
    try:
        processes = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return None
    return [process for process in processes if parent_of(process) == os.getpid()]


def parent_of(process: int) -> int | None:
    """The parent of a process, None when it is gone. Source: proc_pid_stat(5), field 4."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # The name, in parentheses, may hold anything, parentheses and spaces too.
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None


def become_runner(
    warden: int,
    command: list[bytes],
    environment: dict[bytes, bytes],
    stdout: int,
    stderr: int,
    failed: int,
) -> None:
    """Replace this freshly forked process by the runner; tells why on `failed` when that cannot be done."""
    try:
        os.setsid()
        process_control(PR_SET_PDEATHSIG, _signal.SIGKILL)
        if os.getppid() != warden:  # it died before the line above could make that count
            os._exit(1)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        # Handlers go by exec, ignored signals would stay; the mask is empty since the keeper's start.
        for number in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP}:
            _signal.signal(number, _signal.SIG_DFL)
        os.execvpe(command[0], command, environment)  # noqa: S606 -- no shell is wanted
    except OSError as error:
        os.write(failed, (error.errno or errno.EINVAL).to_bytes(DESCRIPTOR_SIZE, "big"))
    finally:
        os._exit(1)


if __name__ == "__main__":
    keep(int(sys.argv[1]))
