"""Who may connect to a worker that listens: the real worker, without a robot, and clients good and bad."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tdm_ros.drivers.intera import listener, wire, worker
from tdm_ros.drivers.intera.authentication import is_proof, proof_of, read_secret
from tdm_ros.drivers.intera.client import WORKER, InteraClient, InteraError

pytestmark = pytest.mark.real_time
KEY = b"0123456789abcdef" * 4
COMES_UP = "this Python has no rospy"
"""What a worker says that was started for a client, in a Python without ROS 1."""


def secret_file(folder: Path, text: bytes = KEY, mode: int = 0o600) -> str:
    path = folder / "worker.secret"
    path.write_bytes(text)
    path.chmod(mode)
    return str(path)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where a worker listens."""
    command = [sys.executable, WORKER, "--listen", "127.0.0.1:0", "--secret-file", secret_file(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        yield int(process.stderr.readline().rsplit(":", 1)[1])
        process.terminate()
        assert process.wait(10) == 0


def closed_within(link: socket.socket, seconds: float) -> bytes:
    """What came until the other side closed, which it must."""
    link.settimeout(seconds)
    data = b""
    with suppress(ConnectionResetError):  # it had not read all
        while more := link.recv(65536):
            data += more
    return data


def test_client_with_the_secret_gets_a_worker_each_time(port: int) -> None:
    for _ in range(2):
        client = InteraClient.connect("127.0.0.1", port, KEY)
        with pytest.raises(InteraError, match=COMES_UP):
            client.wait_ready(20)
        client.close()
        time.sleep(2 * listener.POLL_S)  # until the worker's process has ended


def test_client_with_another_secret_is_not_let_in(port: int) -> None:
    with pytest.raises(InteraError, match="the secret of this client is not the worker's"):
        InteraClient.connect("127.0.0.1", port, KEY[::-1])


@pytest.mark.parametrize("proof", ['"nonce": "a", "mac": "\\ud800"', '"nonce": "\\ud800", "mac": "a"'])
def test_client_whose_proof_is_no_text_is_dropped_and_the_worker_listens_on(port: int, proof: str) -> None:
    body = f'{{"type": "proof", {proof}}}'.encode()
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(len(body).to_bytes(4, "big") + body)
        closed_within(link, 10)
    with pytest.raises(InteraError, match="the secret of this client is not the worker's"):
        InteraClient.connect("127.0.0.1", port, KEY[::-1])


def test_client_does_not_believe_a_worker_that_sends_back_its_own_proof() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            there, _ = server.accept()
            there.sendall(wire.encode(wire.Challenge("c" * 64)))
            there.sendall(wire.encode(next(iter(wire.Frames().feed(there.recv(4096))))))

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(InteraError, match="it does not know our secret"):
            InteraClient.connect("127.0.0.1", server.getsockname()[1], KEY)


@pytest.mark.parametrize(
    "data",
    [
        wire.encode(wire.Command(1, 1, "velocity", (0.1,) * 7)),
        wire.encode(wire.Request(1, "enable")),
        wire.encode(wire.Proof("a" * 64, "b" * 64)),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 5000,
    ],
    ids=["command", "enable", "proof", "http", "bytes"],
)
def test_stranger_gets_nothing_but_an_end(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(data)
        received = list(wire.Frames().feed(closed_within(link, 2.0)))
    assert {type(message) for message in received} <= {wire.Challenge, wire.Failure}
    with pytest.raises(InteraError, match=COMES_UP):
        InteraClient.connect("127.0.0.1", port, KEY).wait_ready(20)


def test_replayed_proof_is_not_let_in(port: int) -> None:
    def challenge(link: socket.socket) -> str:
        return next(iter(wire.Frames().feed(link.recv(4096)))).nonce

    with socket.create_connection(("127.0.0.1", port)) as first, socket.create_connection(("127.0.0.1", port)) as other:
        worker_nonce, nonce = challenge(first), "c" * 64
        proof = wire.encode(wire.Proof(nonce, proof_of(KEY, "client", worker_nonce, nonce)))
        assert challenge(other) != worker_nonce
        other.sendall(proof)
        assert b"is not the worker's" in closed_within(other, 2.0)


def test_connections_that_say_nothing_keep_nobody_out_and_are_ended(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * listener.PENDING)]
    with pytest.raises(InteraError, match=COMES_UP):
        InteraClient.connect("127.0.0.1", port, KEY).wait_ready(20)
    for link in idle:
        closed_within(link, listener.PROVE_S + 5)
        link.close()


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (KEY, 0o644, "only its owner may read the secret"),
        (KEY, 0o640, "chmod 600"),
        (b"hunter2\n", 0o600, "must have at least 32 characters, got 7"),
        (b"", 0o600, "openssl rand -hex 32"),
    ],
)
def test_secret_that_is_none_is_rejected_on_both_sides(tmp_path: Path, text: bytes, mode: int, says: str) -> None:
    path = secret_file(tmp_path, text, mode)
    with pytest.raises(ValueError, match=says):
        read_secret(path)
    command = [sys.executable, WORKER, "--listen", "127.0.0.1:0", "--secret-file", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and says in done.stderr


def test_worker_does_not_listen_without_a_secret() -> None:
    done = subprocess.run(
        [sys.executable, WORKER, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 2 and "--secret-file" in done.stderr and "listening" not in done.stderr


@pytest.mark.parametrize("option", ["--velocity-scale", "--speed-ratio", "--hand-speed-m-s", "--state-silent-s"])
@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", "fast"])
def test_bound_that_is_none_is_rejected(option: str, value: str) -> None:
    """A bound that is not a number would allow everything: nothing is larger than it."""
    with pytest.raises(SystemExit):
        worker.parser().parse_args(["--fd", "0", f"{option}={value}"])


@pytest.mark.parametrize("address", ["7447", "127.0.0.1:", ":7447", "127.0.0.1:x", "192.0.2.1:7447"])
def test_place_where_nobody_can_listen_is_told(tmp_path: Path, address: str) -> None:
    command = [sys.executable, WORKER, "--listen", address, "--secret-file", secret_file(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and done.stderr.startswith("worker: the worker cannot start: ")


def test_proof_is_of_one_side_one_secret_and_these_nonces() -> None:
    mac = proof_of(KEY, "client", "w", "c")
    assert is_proof(mac, KEY, "client", "w", "c")
    for other in (
        (KEY, "worker", "w", "c"),
        (KEY[::-1], "client", "w", "c"),
        (KEY, "client", "x", "c"),
        (KEY, "client", "w", "x"),
    ):
        assert not is_proof(mac, *other)
    assert not is_proof("ü", KEY, "client", "w", "c")


def test_worker_that_waits_in_vain_says_so_and_ends() -> None:
    """Nothing but this bounds a wait for a ROS master that takes connections and never answers."""
    program = (
        "import sys, time; from tdm_ros.drivers.intera import wire, worker; wire.UP_S = 0.5\n"
        "worker.connect = lambda _: time.sleep(60); worker.exit_now(worker.main(sys.argv[1:]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    client = InteraClient.start([sys.executable, "-c", program], environment)
    with pytest.raises(InteraError, match=r"the robot was not there after 0\.5 s"):
        client.wait_ready(20)
    assert client.close() == 5
