"""A server behind a network of the test's own, whose packets can be dropped: a namespace and two cables to it."""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_numbers = itertools.count(1)
NOBODY = "02:00:00:00:00:99"  # no device has it, so what is sent there is dropped without a word
CLONE_NEWNET = 0x40000000


def ip(*words: str, namespace: str = "") -> str:
    """Run ``ip``, in a namespace or not, and return what it prints."""
    inside = ("-netns", namespace) if namespace else ()
    return subprocess.run(["ip", *inside, *words], check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class Cable:
    """Two devices, one here and one in the namespace: what goes in at one end comes out at the other."""

    namespace: str
    name: str
    near: str
    far: str

    def lay(self) -> None:
        """Make it and bring it up."""
        ip("link", "add", f"{self.name}0", "type", "veth", "peer", "name", f"{self.name}1", "netns", self.namespace)
        for device, own, _, namespace in self._ends():
            ip("address", "add", f"{own}/30", "dev", device, namespace=namespace)
            ip("link", "set", device, "up", namespace=namespace)

    def take_away(self) -> None:
        """Delete it, both ends."""
        ip("link", "delete", f"{self.name}0")

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Drop every packet, either way: no answer comes and no reset, as where a firewall or a dead switch is."""
        for device, _, other, namespace in self._ends():
            words = (other, "lladdr", NOBODY, "nud", "permanent", "dev", device)
            ip("neighbour", "replace", *words, namespace=namespace)
        yield
        for device, _, other, namespace in self._ends():
            ip("neighbour", "delete", other, "dev", device, namespace=namespace)

    def _ends(self) -> list[tuple[str, str, str, str]]:
        return [(f"{self.name}0", self.near, self.far, ""), (f"{self.name}1", self.far, self.near, self.namespace)]


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Be in a namespace with this thread, and with the processes and sockets that it makes meanwhile."""
    enter = ctypes.CDLL(None, use_errno=True).setns
    with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", namespace).open() as there:
        assert enter(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert enter(home.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


@contextmanager
def network() -> Iterator[tuple[str, Cable, Cable]]:
    """Make a namespace with two cables, and yield it with them; skip the test where the machine does not let us."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a network")
    if not shutil.which("ip"):
        pytest.skip("ip is not installed (package iproute2)")
    number = (os.getpid() * 4 + next(_numbers)) % 16384  # so that runs beside this one have others
    namespace = f"headrace-test-{number}"
    cables = [
        Cable(namespace, f"hr{number}{name}", *(f"198.{second}.{number >> 6}.{(number & 63) * 4 + n}" for n in (1, 2)))
        for name, second in (("a", 18), ("b", 19))  # 198.18.0.0/15 is for tests
    ]
    with ExitStack() as stack:
        try:
            ip("netns", "add", namespace)
            stack.callback(ip, "netns", "delete", namespace)
            ip("link", "set", "lo", "up", namespace=namespace)
            for cable in cables:
                cable.lay()
                stack.callback(cable.take_away)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine does not let root make a network: {error.stderr.strip()}")
        yield namespace, cables[0], cables[1]
