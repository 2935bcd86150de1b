import socket
import threading

from kerasdnn.data import network

import pytest


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.delenv("KERASDNN_OFFLINE")
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_answers_is_reachable(server):
    assert network.unreachable([f"http://{server}/data"], seconds=60) is None


def test_one_answer_of_several_is_enough(server):
    urls = [f"http://{closed_port()}/a", f"http://{server}/b"]
    assert network.unreachable(urls, seconds=60) is None


def test_a_server_that_refuses_is_named():
    problem = network.unreachable([f"http://{closed_port()}/data"], seconds=60)
    assert problem == "no network: 127.0.0.1 does not answer"


def test_a_name_look_up_that_never_returns_does_not_hang(monkeypatch):
    release = threading.Event()

    def silent(server, timeout):
        release.wait(60)
        raise OSError

    monkeypatch.setattr(network.socket, "create_connection", silent)
    try:
        problem = network.unreachable(["http://example.org/data"], seconds=0.05)
    finally:
        release.set()
    assert problem == "no network: example.org does not answer"


def test_a_proxy_is_tried_in_place_of_the_server(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://{server}")
    assert network.unreachable(["http://example.invalid/data"], seconds=60) is None


def test_offline_is_respected(server, monkeypatch):
    monkeypatch.setenv("KERASDNN_OFFLINE", "1")
    assert "KERASDNN_OFFLINE" in network.unreachable([f"http://{server}/data"])
    monkeypatch.setenv("KERASDNN_OFFLINE", "0")
    assert network.unreachable([f"http://{server}/data"], seconds=60) is None


def test_nothing_to_reach_is_reachable():
    assert network.unreachable([]) is None
