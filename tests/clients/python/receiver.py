"""A customer's back end: writes down what arrives, and answers as it was told."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_S = 30


@dataclass
class Arrival:
    headers: dict[str, str]
    body: bytes


class Receiver:
    def __init__(self) -> None:
        self.status = 200
        self.answer: Callable[[Arrival], bytes] = lambda _: b""
        self._arrivals: queue.Queue[Arrival] = queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                arrival = Arrival(headers, body)
                answer = receiver.answer(arrival)
                receiver._arrivals.put(arrival)
                self.send_response(receiver.status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self) -> Arrival:
        """The next request; waits for it."""
        return self._arrivals.get(timeout=PATIENCE_S)

    def take_of(self, message_id: str) -> Arrival:
        """The next request with this message; waits for it and forgets those before."""
        while True:
            arrival = self.take()
            if arrival.headers["webhook-id"] == message_id:
                return arrival

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
