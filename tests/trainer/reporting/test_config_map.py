"""One ConfigMap is patched with this pod's token; whatever goes wrong is one line of text."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from typing_extensions import override

from trimtab_trainer.reporting.config_map import (
    ApiRefusedError,
    ApiServer,
    ConfigMap,
    find_api_server,
)


class Handler(BaseHTTPRequestHandler):
    """Answers as told and keeps what was asked."""

    answer: ClassVar[tuple[int, str]] = (200, "{}")
    asked: ClassVar[dict[str, str]] = {}

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.update(dict(self.headers.items()) | {"path": self.path, "body": body})
        status, text = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    (tmp_path / "token").write_text("first\n")
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port = listening.server_address[1]
    yield ApiServer(lambda: HTTPConnection("127.0.0.1", port, timeout=10), tmp_path / "token")
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_keys_are_merged_into_the_one_object_with_the_token_of_the_moment(
    server: ApiServer,
) -> None:
    Handler.answer = (200, '{"data": {"progress.json": "1", "control.json": "2"}}')
    config_map = ConfigMap(server, namespace="team", name="digits-progress")
    assert config_map.patch({"progress.json": "1"}) == {"progress.json": "1", "control.json": "2"}
    assert Handler.asked["Authorization"] == "Bearer first"
    assert Handler.asked["Content-Type"] == "application/merge-patch+json"
    path, _, query = Handler.asked["path"].partition("?")
    assert path == "/api/v1/namespaces/team/configmaps/digits-progress"
    assert query == "fieldManager=trimtab-driver"
    assert json.loads(Handler.asked["body"]) == {"data": {"progress.json": "1"}}
    server.token_file.write_text("renewed")
    config_map.patch({})
    assert Handler.asked["Authorization"] == "Bearer renewed"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, '{"message": "patch is\\nforbidden"}'), "status 403: patch is forbidden"),
        ((404, '{"message": "not found"}'), "status 404: not found"),
        ((503, "<html>"), "status 503: <html>"),
        ((200, "[]"), "status 200"),
        ((200, "no json"), "status 200: no json"),
    ],
)
def test_f46_every_refusal_is_one_line(
    server: ApiServer, answer: tuple[int, str], words: str
) -> None:
    Handler.answer = answer
    with pytest.raises(ApiRefusedError, match=words):
        ConfigMap(server, namespace="n", name="m").patch({})


def test_f46_a_server_that_is_away_or_a_token_that_is_gone_is_a_refusal(server: ApiServer) -> None:
    closed = ApiServer(lambda: HTTPConnection("127.0.0.1", 1), server.token_file)
    with pytest.raises(ApiRefusedError, match="ConnectionRefusedError"):
        ConfigMap(closed, namespace="n", name="m").patch({})
    server.token_file.unlink()
    with pytest.raises(ApiRefusedError, match="FileNotFoundError"):
        ConfigMap(server, namespace="n", name="m").patch({})


def test_a_pod_finds_its_api_server_and_trusts_its_authority_alone(tmp_path: Path) -> None:
    authority = ssl.get_default_verify_paths().cafile
    assert authority is not None
    (tmp_path / "ca.crt").symlink_to(authority)
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    found = find_api_server(environment, tmp_path)
    connection = found.connect()
    assert (connection.host, connection.port) == ("10.0.0.1", 443)
    assert found.token_file == tmp_path / "token"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"},
    ],
)
def test_outside_a_pod_there_is_none(environment: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ApiRefusedError, match="must have an API server and a token"):
        find_api_server(environment, tmp_path)
