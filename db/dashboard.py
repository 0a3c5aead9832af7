"""Serves the dashboard on loopback: a thin server that asks the warehouse at each load, as the role that only reads."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg.conninfo import make_conninfo

from db import deploy, machine
from db.deploy import connected, explain
from db.home import Home
from db.problem import Problem

ADDRESS = "127.0.0.1"
PORT = 54323
OURS = {"127.0.0.1", "localhost", "[::1]"}  # what a browser may call us: any other name was made to point here
PATIENCE = 60  # seconds that one question may take
SILENCE = 30  # seconds that a connection may say or take nothing
PAGE = "select dwh.dashboard(live => true)"
ANSWER = "select dwh.dashboard_answer(%s::jsonb, string_to_array(%s, ','), %s)::text"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page's own policy cannot say this
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Refusal(Exception):
    """A request that gets no page.

    Args:
        status: the HTTP status.
        text: why, for whoever sees it.
    """

    def __init__(self, status: HTTPStatus, text: str) -> None:
        """Keep both."""
        super().__init__(text)
        self.status = status


def ask(dsn: str, statement: str, *values: str) -> str:
    """Return the text that one question to the warehouse gives, in a read-only session of its own.

    Raises:
        Refusal: the warehouse does not answer, or refuses the question.
    """
    options = f"-c default_transaction_read_only=on -c statement_timeout={PATIENCE}s"
    whole = make_conninfo(dsn, options=options, client_encoding="utf8")
    try:
        with connected(whole, "the warehouse") as connection:
            row = connection.execute(statement, values).fetchone()
    except Problem as problem:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join((str(problem), problem.way_out))) from None
    except psycopg.Error as error:
        is_theirs = isinstance(error, psycopg.DataError)
        said = explain(error, "the warehouse")
        status = HTTPStatus.BAD_REQUEST if is_theirs else HTTPStatus.SERVICE_UNAVAILABLE
        raise Refusal(status, "\n".join((str(said), said.way_out))) from None
    if not row or row[0] is None:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The warehouse has no page. Deploy it:  python3 bootstrap.py up")
    return str(row[0])


class Handler(BaseHTTPRequestHandler):
    """Answers ``/`` with the page and ``/data`` with the figures for a filter, to browsers of this machine alone."""

    server: Server
    server_version = "headrace"
    sys_version = ""
    timeout = SILENCE

    def do_GET(self) -> None:
        """Answer a request, or say why not."""
        try:
            kind, text = self.answer()
            self.reply(HTTPStatus.OK, kind, text)
        except Refusal as refusal:
            if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                print(f"headrace: {str(refusal).splitlines()[0]}", file=sys.stderr)
            self.reply(refusal.status, "text/plain", f"{refusal}\n")

    def do_HEAD(self) -> None:
        """Answer with the headers that GET would have."""
        self.do_GET()

    def send_error(self, code: int, *_: object) -> None:
        """Answer what the library refuses before anything is asked here as we answer everything else."""
        status = HTTPStatus(code)
        self.request_version = self.protocol_version  # else one who speaks none would get no headers
        if status is HTTPStatus.NOT_IMPLEMENTED:
            self.reply(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", "This page can only be read.\n", Allow="GET, HEAD")
        else:
            self.reply(status, "text/plain", f"{status.description or status.phrase}\n")

    def answer(self) -> tuple[str, str]:
        """Return the type of an answer and the answer.

        Raises:
            Refusal: there is none.
        """
        host = self.headers.get("Host", "").rpartition(":")
        name = host[0] if host[2].isdigit() else "".join(host)
        if name not in OURS:
            raise Refusal(
                HTTPStatus.MISDIRECTED_REQUEST, f"This is the dashboard of {ADDRESS}; ask for it by that name."
            )
        try:
            url = urlsplit(self.path)
        except ValueError:
            raise Refusal(HTTPStatus.BAD_REQUEST, "That is no address.") from None
        if url.path == "/":
            return "text/html", ask(self.server.dsn, PAGE)
        if url.path != "/data":
            raise Refusal(HTTPStatus.NOT_FOUND, "There is one page here: /")
        if self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise Refusal(HTTPStatus.FORBIDDEN, "Only the dashboard itself may ask for that.")
        words = parse_qs(url.query)
        try:
            filter_, parts, grain = (words[name][0] for name in ("filter", "parts", "grain"))
        except KeyError as missing:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"{missing} is missing.") from None
        return "application/json", ask(self.server.dsn, ANSWER, filter_, parts, grain)

    def reply(self, status: HTTPStatus, kind: str, text: str, **more: str) -> None:
        """Send an answer; whoever has gone meanwhile does not get it."""
        body = text.encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            for name, value in {**HEADERS, **more}.items():
                self.send_header(name, value)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


class Server(ThreadingHTTPServer):
    """The server, and what it asks."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, dsn: str) -> None:
        """Listen, on loopback alone.

        Raises:
            Problem: something else has the port.
        """
        self.dsn = dsn
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise Problem(
                f"port {port} is taken", "Give another one: --port, or --port 0 for any that is free."
            ) from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"


def serve(home: Home, port: int, *, browse: bool, opened: Callable[[str], object] = webbrowser.open) -> int:
    """Serve the dashboard until Ctrl-C or a signal to end.

    Args:
        home: where the warehouse is known.
        port: port on loopback; 0 for any.
        browse: whether to open a browser, where there is a screen.
        opened: opens it.

    Raises:
        Problem: the warehouse does not let the reader in, or is not deployed, or the port is taken.
    """
    choices = home.choices()
    warehouse = choices.warehouse
    if not warehouse:
        from db.work import warehouse_dsn

        machine.forget_libpq_environment()
        warehouse = warehouse_dsn(home, choices)
    dsn = deploy.login_dsn(home, warehouse, deploy.READER, embedded=not choices.warehouse)
    with connected(dsn, "the warehouse") as connection:
        found = connection.execute("select to_regprocedure('dwh.dashboard(boolean)') is not null").fetchone()
        if found != (True,):
            raise Problem("the warehouse has no dashboard yet", "Deploy it:  python3 bootstrap.py up")
    server = Server(port, dsn)

    def stop(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    print(f"The dashboard is at {server.url}    Ctrl-C ends it.", flush=True)
    if browse and (sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        opened(server.url)
    with server:
        server.serve_forever(poll_interval=0.1)
    print("\nStopped.")
    return 0
