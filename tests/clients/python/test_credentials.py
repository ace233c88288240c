"""What requests get in with beside their signature, before servers that are not ours: Python's TLS, proxies, a token endpoint."""

import asyncio
import base64
import datetime
import ipaddress
import json
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import httpx
import pproxy
import proxy
import pytest
from conftest import until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from oauthlib.oauth2 import BackendApplicationServer, RequestValidator
from receiver import Receiver
from svix.api import MessageStatus
from werkzeug.datastructures import Authorization


@pytest.fixture
def api(app):
    """The endpoints of an application, by plain HTTP: Svix's client does not know the fields."""
    headers = {"authorization": f"Bearer {os.environ['POSTRIDER_TOKEN']}"}
    base = f"{os.environ['POSTRIDER_URL']}/api/v1/app/{app.id}"
    with httpx.Client(base_url=base, headers=headers) as client:
        yield client


def create(api, **fields) -> dict:
    answer = api.post("/endpoint", json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


class Authority:
    """Certificates of an authority of the test's own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        self.pem = self._sign(self._name, self._key.public_key(), is_ca=True)

    def _sign(self, subject, public_key, is_ca=False) -> str:
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        builder = x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=public_key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def identity(self, name: str) -> tuple[str, str]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._sign(subject, key.public_key()), text.decode()


def test_python_demands_a_client_certificate_and_gets_it(api, send, receiver: Receiver, tmp_path):
    servers, clients = Authority(), Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = servers.identity("receiver")
    (tmp_path / "server.pem").write_text(certificate + key)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(cadata=clients.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    receiver._server.socket = context.wrap_socket(receiver._server.socket, server_side=True)
    url = receiver.url.replace("http:", "https:")
    certificate, key = clients.identity("postrider of a shop")
    tls = {"clientCertificate": certificate, "clientKey": key, "ca": servers.pem}
    made = create(api, url=url, tls=tls)
    assert made["tls"]["clientKey"] == "***"
    roles = [(each["role"], each["subject"]) for each in made["certificates"]]
    assert roles == [("client", "CN=postrider of a shop"), ("ca", "CN=authority of a test")]
    message = send()
    assert receiver.take_of(message.id).body == b'{"n":1}'


@pytest.mark.parametrize(
    ("username", "password"), [("till", "pa55"), ("Aladdin", "open sesame:2"), ("käse", "pä55wörd€"), ("k3y", "")]
)
def test_werkzeug_reads_user_and_password(api, send, receiver: Receiver, username, password):
    create(api, url=receiver.url, auth={"type": "basic", "username": username, "password": password})
    read = Authorization.from_header(receiver.take_of(send().id).headers["authorization"])
    assert (read.type, read.username, read.password) == ("basic", username, password)


def test_werkzeug_reads_the_user_and_password_of_a_url(api, send, receiver: Receiver):
    create(api, url=receiver.url.replace("://", "://k%C3%A4se:pa%3A55%20@"))
    read = Authorization.from_header(receiver.take_of(send().id).headers["authorization"])
    assert (read.type, read.username, read.password) == ("basic", "käse", "pa:55 ")


def test_werkzeug_reads_a_bearer_token_and_python_a_key(api, send, receiver: Receiver):
    endpoint = create(api, url=receiver.url, auth={"type": "bearer", "token": "mF_9.B5f-4.1JqM~+/=="})
    read = Authorization.from_header(receiver.take_of(send().id).headers["authorization"])
    assert (read.type, read.token) == ("bearer", "mF_9.B5f-4.1JqM~+/==")
    key = {"type": "apiKey", "header": "X-Shop-Key", "value": "v4lue with: spaces, and =; signs"}
    assert api.patch(f"/endpoint/{endpoint['id']}", json={"auth": key}).is_success
    arrival = receiver.take_of(send().id)
    assert arrival.headers["x-shop-key"] == key["value"]
    assert "authorization" not in arrival.headers


class Validator(RequestValidator):
    """Knows one client, and hands out what oauthlib makes."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def authenticate_client(self, request, *_, **__) -> bool:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        in_header = scheme == "Basic" and base64.b64decode(encoded) == b"shop:s3cret"
        in_body = (request.client_id, request.client_secret) == ("shop", "s3cret")
        request.client = type("Client", (), {"client_id": "shop"})()
        return in_header or in_body

    def validate_grant_type(self, *_, **__) -> bool:
        return True

    def validate_scopes(self, _, scopes, *__, **___) -> bool:
        return scopes == ["events"]

    def get_default_scopes(self, *_, **__):
        return []

    def save_bearer_token(self, token, *_, **__) -> None:
        self.tokens.append(token["access_token"])


@pytest.fixture
def token_endpoint():
    validator = Validator()
    oauth = BackendApplicationServer(validator)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            # It wants TLS, which says nothing of what is tested here.
            headers, answer, status = oauth.create_token_response("https://id.test/token", "POST", body, headers)
            assert parse_qs(body)["grant_type"] == ["client_credentials"]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/token", validator
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("client_auth", ["basic", "body"])
def test_a_token_of_oauthlib_is_used_for_many(api, send, receiver: Receiver, token_endpoint, client_auth):
    url, validator = token_endpoint
    auth = {"type": "oauth2", "tokenUrl": url, "clientId": "shop", "clientSecret": "s3cret", "scope": "events"}
    create(api, url=receiver.url, auth=auth | {"clientAuth": client_auth})
    for _ in range(3):
        message = send()
        token = receiver.take_of(message.id).headers["authorization"]
        assert token == f"Bearer {validator.tokens[0]}"
    assert len(validator.tokens) == 1


def test_a_refusal_of_oauthlib_keeps_what_waits(api, send, receiver: Receiver, token_endpoint):
    url, validator = token_endpoint
    auth = {"type": "oauth2", "tokenUrl": url, "clientId": "shop", "clientSecret": "wrong", "scope": "events"}
    endpoint = create(api, url=receiver.url, auth=auth)
    message = send()

    def waits() -> bool:
        deliveries = api.get(f"/msg/{message.id}/delivery").json()["data"]
        # While it is being tried it waits for nothing.
        return (deliveries[0].get("waits") or {}).get("reason") == "no_token"

    until(waits)
    assert api.get(f"/attempt/msg/{message.id}").json()["data"] == [], "no attempt was made"
    assert api.patch(f"/endpoint/{endpoint['id']}", json={"auth": auth | {"clientSecret": "s3cret"}}).is_success
    assert receiver.take_of(message.id).headers["authorization"] == f"Bearer {validator.tokens[0]}"


@pytest.fixture
def socks():
    """A SOCKS 5 proxy that asks for a user."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    ports = []

    def run() -> None:
        asyncio.set_event_loop(loop)
        server = pproxy.Server("socks5://127.0.0.1:0#till:pa55")
        handler = loop.run_until_complete(server.start_server({"rserver": [], "verbose": lambda _: None}))
        ports.append(handler.sockets[0].getsockname()[1])
        ready.set()
        loop.run_forever()

    async def end() -> None:
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield ports[0]
    asyncio.run_coroutine_threadsafe(end(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_pproxy_lets_the_right_user_through(api, send, receiver: Receiver, socks, scheme):
    made = create(api, url=receiver.url, proxy=f"{scheme}://till:pa55@127.0.0.1:{socks}")
    assert made["proxy"] == f"{scheme}://***@127.0.0.1:{socks}"
    message = send()
    assert receiver.take_of(message.id).headers["webhook-id"] == message.id


def test_pproxy_refuses_another_user(api, send, ended, receiver: Receiver, socks):
    create(api, url=receiver.url, proxy=f"socks5://till:wrong@127.0.0.1:{socks}")
    message = send()

    def failed():
        attempts = api.get(f"/attempt/msg/{message.id}").json()["data"]
        return [attempt for attempt in attempts if "proxy" in json.dumps(attempt)]

    assert until(failed)


FLAGS = ["--hostname", "127.0.0.1", "--port", "0", "--num-workers", "1", "--num-acceptors", "1", "--log-level", "e"]


def test_proxy_py_tunnels(api, send, receiver: Receiver):
    with proxy.Proxy(FLAGS) as tunnel:
        create(api, url=receiver.url, proxy=f"http://127.0.0.1:{tunnel.flags.port}")
        message = send()
        assert receiver.take_of(message.id).headers["webhook-id"] == message.id


@pytest.mark.parametrize("wrong", ["", "till@", "till:wrong@"])
def test_proxy_py_lets_its_user_through_and_nobody_else(api, send, ended, receiver: Receiver, wrong):
    with proxy.Proxy([*FLAGS, "--basic-auth", "till:pa55"]) as tunnel:
        place = f"127.0.0.1:{tunnel.flags.port}"
        endpoint = create(api, url=receiver.url, proxy=f"http://{wrong}{place}")
        refused = send()
        ended(refused, 3, MessageStatus.FAIL)
        assert "proxy" in api.get(f"/attempt/msg/{refused.id}").text
        assert api.patch(f"/endpoint/{endpoint['id']}", json={"proxy": f"http://till:pa55@{place}"}).is_success
        message = send()
        assert receiver.take().headers["webhook-id"] == message.id, "nothing came before"
