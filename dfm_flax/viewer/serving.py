"""A page for the browser of this host: served on loopback, to nobody else."""

import functools
import http.server
import webbrowser
from pathlib import Path
from typing import Any


class _OnePage(http.server.BaseHTTPRequestHandler):
    """Answers every request with the page."""

    def __init__(self, page: bytes, *arguments: Any):
        self.page = page
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.page)))
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing of requests."""


def page_server(page: str | Path) -> http.server.HTTPServer:
    """A server of one page on a free port of 127.0.0.1; `serve_forever` starts it."""
    handler = functools.partial(_OnePage, Path(page).read_bytes())
    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)


def open_page(page: str | Path) -> None:
    """Serves a page and opens it in the browser; returns when it is interrupted."""
    with page_server(page) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{address} until Ctrl-C", flush=True)
        webbrowser.open(address)
        server.serve_forever()
