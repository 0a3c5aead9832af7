"""Serves the dashboard from a container, on every address of its own network.

The host publishes the port on its loopback alone, and the server answers to that name alone. libpq's variables say
where the warehouse is.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from db import dashboard

dashboard.ADDRESS = "0.0.0.0"  # of the container


def main() -> None:
    """Serve until a signal to end."""
    server = dashboard.Server(int(os.environ.get("DASHBOARD_PORT", dashboard.PORT)), "")

    def stop(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with server:
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
