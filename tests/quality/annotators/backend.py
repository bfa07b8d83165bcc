"""A model's backend as Label Studio's protocol describes it, on a real port."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Server:
    url: str = ""
    calls: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    failing: int = 0

    def of(self, path: str) -> list[dict[str, Any]]:
        return [body for name, body, _ in self.calls if name == path]


@contextmanager
def backend(predict: Callable[[dict[str, Any]], Any]) -> Iterator[Server]:
    """Serve until the end; `predict` makes one entry of `results` from a task."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"status": "UP"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.calls.append((self.path, body, self.headers.get("Authorization")))
            if server.failing > 0:
                server.failing -= 1
                self.send_response(503)
                self.end_headers()
            elif self.path == "/setup":
                self._answer({"model_version": "v1"})
            else:
                self._answer({"results": [predict(task) for task in body["tasks"]], "model_version": "v2"})

        def _answer(self, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
