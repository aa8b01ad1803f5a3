"""The page over TLS: with a certificate that is made here; files that are missing or wrong are an error."""

from __future__ import annotations

import datetime
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("nicegui")
pytest.importorskip("cryptography")

from chromium_for_tests import CHROMIUM, IN_CHROMIUM
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tdm_ros.console import listening
from tdm_ros.console.listening import BoundedSocket, tls_context


def write_key_and_certificate(folder: Path, password: bytes | None = None) -> tuple[str, str]:
    """Write a self-signed certificate of 127.0.0.1 and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tdm_ros test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().issuer_name(name).subject_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .add_extension(address, False)
    )
    made = builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    folder.mkdir(exist_ok=True)
    certificate, key_file = folder / "page.crt", folder / "page.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, hidden))
    key_file.chmod(0o600)
    return str(certificate), str(key_file)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return write_key_and_certificate(tmp_path_factory.mktemp("tls"))


def test_no_certificate_and_no_key_are_no_tls(files: tuple[str, str]) -> None:
    assert tls_context("", "") is None
    assert isinstance(tls_context(*files), ssl.SSLContext)


def test_file_that_is_missing_or_wrong_is_an_error_in_one_sentence(files: tuple[str, str], tmp_path: Path) -> None:
    certificate, key = files
    _, other_key = write_key_and_certificate(tmp_path / "other")
    _, hidden_key = write_key_and_certificate(tmp_path / "hidden", b"secret")
    seen_by_all = tmp_path / "all.key"
    seen_by_all.write_bytes(Path(key).read_bytes())
    seen_by_all.chmod(0o644)
    (empty := tmp_path / "empty.pem").touch(0o600)
    for given, says in (
        ((certificate, ""), "belong together"),
        (("", key), "belong together"),
        (("/nowhere.crt", key), "tls.certificate_file must be a PEM file, got /nowhere.crt, which does not exist"),
        ((certificate, str(tmp_path)), "tls.key_file must be a PEM file"),
        ((certificate, str(seen_by_all)), "chmod 600"),
        ((certificate, str(empty)), "must be a PEM certificate and its key"),
        ((key, key), "must be a PEM certificate and its key"),
        ((certificate, other_key), "must be a PEM certificate and its key"),
        ((certificate, hidden_key), "the key has a password"),
    ):
        with pytest.raises(ValueError, match=re.escape(says)) as caught:
            tls_context(*given)
        assert "\n" not in str(caught.value)


def test_connection_beyond_the_largest_number_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "TLS_CONNECTIONS", 2)
    with listening.listen("127.0.0.1", 0, bounded=True) as server:
        assert isinstance(server, BoundedSocket)
        ends = [socket.create_connection(server.getsockname()) for _ in range(4)]
        taken = [server.accept()[0] for _ in range(2)]
        with pytest.raises(ConnectionAbortedError):
            server.accept()
        assert ends[2].recv(1) == b""
        taken[0].close()
        server.accept()[0].close()
        for end in (*ends, taken[1]):
            end.close()


@pytest.fixture(scope="module")
def page(files: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    pytest.importorskip("rclpy")
    from page_for_tests import console_page

    names = ("tls.certificate_file", "tls.key_file")
    trusted = ssl.create_default_context(cafile=files[0])
    parameters = {**dict(zip(names, files, strict=True)), "token": "long enough for a test"}
    with console_page(tmp_path_factory.mktemp("page"), trusted, **parameters) as made:
        yield made


@pytest.mark.ros
@pytest.mark.any_speed
def test_page_over_tls_gives_secure_cookies_and_sockets_and_nothing_without_tls(page) -> None:
    from websockets.exceptions import InvalidStatus

    status, heads, _ = page.get("/?token=long+enough+for+a+test")
    assert status == 303 and heads["set-cookie"].endswith("; Secure")
    cookie = heads["set-cookie"].partition(";")[0]
    assert page.get(Cookie=cookie)[0] == 200 and page.get()[0] == 403
    with page.socket(Cookie=cookie) as driving:
        assert driving.recv(timeout=10)
    with pytest.raises(InvalidStatus):
        page.socket("/drive", f"http://{page.host}", Cookie=cookie)

    name, _, port = page.host.partition(":")
    with socket.create_connection((name, int(port))) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        plain.settimeout(10)
        assert not plain.recv(4096).startswith(b"HTTP")


@pytest.mark.ros
@pytest.mark.any_speed
def test_connection_without_a_handshake_is_closed_in_time(page) -> None:
    name, _, port = page.host.partition(":")
    with socket.create_connection((name, int(port))) as silent:
        begin_s = time.monotonic()
        silent.settimeout(listening.HANDSHAKE_S + 20)
        assert silent.recv(1) == b""
        assert time.monotonic() - begin_s > listening.HANDSHAKE_S / 2


def test_console_whose_certificate_is_missing_says_so_and_serves_nothing() -> None:
    pytest.importorskip("rclpy")
    from tdm_ros.nodes.console import ConsoleNode
    from tdm_ros.nodes.parameters import ConsoleParameters, TlsParameters

    given = ConsoleParameters(tls=TlsParameters("/nowhere.crt", "/nowhere.key"))
    with pytest.raises(ValueError, match=r"must be a PEM file, got /nowhere.crt, which does not exist"):
        ConsoleNode._serve(SimpleNamespace(), given)  # type: ignore[arg-type]


class TestInChromium:
    """What a browser makes of it."""

    pytestmark = IN_CHROMIUM

    def test_page_over_tls_drives_over_wss(self, page) -> None:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            seen = browser.new_page(ignore_https_errors=True)
            sockets: list[str] = []
            seen.on("websocket", lambda made: sockets.append(made.url))
            seen.goto(f"https://{page.host}/?token=long+enough+for+a+test")
            seen.wait_for_function("document.querySelector('#drive-who')?.innerText == 'nobody drives'", timeout=60_000)
            browser.close()
        assert any(url.endswith("/drive") for url in sockets) and all(url.startswith("wss://") for url in sockets)
