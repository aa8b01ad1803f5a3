"""Access to the page and to driving: over real sockets, against the real node. Rejections are counted."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("nicegui")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed]

from geometry_msgs.msg import TwistStamped  # noqa: E402
from page_for_tests import ConsolePage, console_page  # noqa: E402
from ros_bench import ROOT, Bench, bench  # noqa: E402
from starlette.responses import PlainTextResponse  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from tdm_ros.console.access_control import (  # noqa: E402
    ADDRESSES,
    CONNECTIONS,
    COOKIE,
    SESSION_S,
    AccessControl,
    Buckets,
    Sessions,
    is_loopback,
    network_of,
    well_formed,
)

NICEGUI = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
SLOW = [0.1, 0.0, 0.0]


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsolePage]:
    with console_page(tmp_path_factory.mktemp("near")) as made:
        made.twists = made.bench.collect(TwistStamped, "teleop/twist")
        made.engaged = made.bench.collect(Bool, "teleop/engaged")
        yield made


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsolePage]:
    with console_page(tmp_path_factory.mktemp("far"), host="0.0.0.0") as made:
        made.host = f"127.0.0.1:{made.host.rpartition(':')[2]}"
        yield made


@contextmanager
def counted(page: ConsolePage, why: str, times: int = 0) -> Iterator[None]:
    """What happens within is rejected for this reason, so many times; 0: at least once."""
    before = page.rejected(why)
    yield
    found = page.rejected(why) - before
    assert found == times if times else found > 0


def closed(page: object) -> ConnectionClosed:
    """Read until the other side has closed; return how."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            page.recv(timeout=10)
    return caught.value


def test_page_on_loopback_needs_no_token_and_is_all_there(near: ConsolePage) -> None:
    status, _, text = near.get()
    assert near.token == "" and near.host.startswith("127.0.0.1:")
    assert status == 200 and "driving.js" in text
    assert near.get("/driving.js")[0] == 200
    assert "http://" not in text.replace(near.host, "") or "cdn" not in text.lower(), "it works without the internet"


def test_page_listens_on_loopback_alone_unless_configured_otherwise(near: ConsolePage) -> None:
    port = int(near.host.rpartition(":")[2])
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in filter(lambda text: not is_loopback(text), others):
        with socket.socket() as probe:
            assert probe.connect_ex((address, port)) != 0


@pytest.mark.parametrize("heads", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_page_of_another_origin_is_rejected_and_counted(near: ConsolePage, heads: dict[str, str]) -> None:
    with counted(near, f"page: {'host of another name' if 'Host' in heads else 'another origin'}", 1):
        assert near.get(**heads)[0] == 403


FRAMED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
OPENED = FRAMED | {"Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize("heads", [{"Origin": "http://evil"}, {**FRAMED, "Sec-Fetch-Mode": "no-cors"}, FRAMED])
def test_page_of_another_origin_uses_up_no_requests_of_the_operator(heads: dict[str, str]) -> None:
    rejected: Counter[str] = Counter()
    access = AccessControl(PlainTextResponse("page"), lambda why, detail: rejected.update([why]), token="")
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "client": ("127.0.0.1", 1)}

    async def get(heads: dict[str, str]) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        given = [(name.lower().encode(), value.encode()) for name, value in ({"Host": "127.0.0.1:1"} | heads).items()]
        await access({**scope, "headers": given}, None, send)  # type: ignore[arg-type]
        return int(sent[0]["status"])

    async def crowd() -> None:
        assert {await get(heads) for _ in range(500)} == {403} and rejected == {"page: another origin": 500}
        assert await get({}) == await get(OPENED) == 200

    asyncio.run(crowd())


@pytest.mark.parametrize("path", ["/drive", NICEGUI])
def test_socket_of_another_origin_is_rejected_and_counted(near: ConsolePage, path: str) -> None:
    with counted(near, "page: another origin", 3):
        for origin in ("http://evil.example", "null", None):
            with pytest.raises(InvalidStatus) as caught:
                near.socket(path, origin)
            assert caught.value.response.status_code == 403


def test_page_off_loopback_draws_a_token_and_lets_only_it_in(far: ConsolePage) -> None:
    assert len(far.token) >= 20
    name = f"{COOKIE}_{port_of(far)}"
    with counted(far, "page: wrong token, or none", 10):
        for path in ("/", "/driving.js", "/?token=", "/?token=wrong", f"/?token={far.token[:-1]}", "/_nicegui_ws/x"):
            assert far.get(path)[0] == 403
        for cookie in (f"{name}=wrong", f"{name}={far.token}", f"{name}=9999999999.{'0' * 64}", "=;;, a=b c"):
            assert far.get(Cookie=cookie)[0] == 403
    status, heads, _ = far.get(f"/?token={far.token}")
    assert status == 303 and heads["location"] == "/", "the token leaves the address"
    assert "HttpOnly" in heads["set-cookie"] and "SameSite=Strict" in heads["set-cookie"]
    assert far.get(Cookie=session(far))[0] == 200
    assert far.get(Cookie=f'other="a, b"; {{odd}}; x[y]=1; {session(far)}')[0] == 200, "beside cookies of other servers"


def port_of(page: ConsolePage) -> int:
    return int(page.host.rpartition(":")[2])


def session(page: ConsolePage) -> str:
    return page.get(f"/?token={page.token}")[1]["set-cookie"].partition(";")[0]


@pytest.mark.parametrize("path", ["/drive", NICEGUI])
def test_socket_without_the_token_is_rejected_and_with_it_let_in(far: ConsolePage, path: str) -> None:
    cookie = session(far)
    for heads in ({}, {"Cookie": cookie[:-1] + ("0" if cookie[-1] != "0" else "1")}):
        with pytest.raises(InvalidStatus):
            far.socket(path, **heads)
    with pytest.raises(InvalidStatus):
        far.socket(path, "http://evil.example", Cookie=cookie)
    with far.socket(path, Cookie=cookie) as page:
        assert page.recv(timeout=10)


@pytest.mark.real_time
def test_driving_what_is_held_is_published_and_letting_go_too(near: ConsolePage) -> None:
    near.twists.clear()
    near.engaged.clear()
    with near.socket() as page:
        near.drive(page, SLOW, 1.0)
        near.drive(page, [0, 0, 0], 0.1, held=False)
        near.bench.spin(0.3)
    assert 10 <= sum(twist.twist.linear.x == 0.1 for twist in near.twists) <= 45
    assert near.twists[-1].twist.linear.x == 0.0 and near.twists[-1].header.frame_id == "base"
    assert near.engaged[0].data is True and near.engaged[-1].data is False


def stands_and_has_not_let_go(near: ConsolePage) -> None:
    """The last word of a page that is gone: so the arm holds, and does not go back to the policy."""
    near.bench.spin(0.3)
    near.bench.until(lambda: near.twists[-1:] and near.twists[-1].twist.linear.x == 0.0, 2)
    said = len(near.twists)
    near.bench.spin(0.3)
    assert len(near.twists) == said and near.engaged[-1].data is True


@pytest.mark.real_time
def test_driving_page_lost_stands_at_once_and_does_not_release(near: ConsolePage) -> None:
    near.twists.clear()
    with near.socket() as page:
        near.drive(page, SLOW, 0.5)
        page.close()
        stands_and_has_not_let_go(near)


@pytest.mark.real_time
def test_driving_page_frozen_or_cut_off_is_silent_and_what_it_says_late_is_rejected(near: ConsolePage) -> None:
    with near.socket() as page:
        near.drive(page, SLOW, 0.3)
        near.bench.spin(0.2)
        said = len(near.twists)
        tick = json.loads(page.recv(timeout=5))["tick"]
        near.bench.spin(1.0)
        assert len(near.twists) == said, "nothing moves the arm while the page is silent"
        near.drive(page, SLOW, 0.1, held=False)
        said = len(near.twists)
        with counted(near, "driving: late answer", 6):
            for number in (*[tick] * 5, 10**9):
                page.send(json.dumps({"tick": number, "velocity": SLOW, "held": True}))
        assert len(near.twists) == said


@pytest.mark.real_time
def test_driving_two_pages_only_the_first_drives(near: ConsolePage) -> None:
    with near.socket() as first, near.socket() as second:
        near.drive(first, SLOW, 0.3)
        near.bench.spin(0.05)
        before = near.bench.rejected("console").get("driving: another page drives", 0)
        near.twists.clear()
        for _ in range(5):
            tick = json.loads(first.recv(timeout=5))["tick"]
            first.send(json.dumps({"tick": tick, "velocity": SLOW, "held": True}))
            while True:  # the second one answers its newest tick
                try:
                    tick = json.loads(second.recv(timeout=0.001))["tick"]
                except TimeoutError:
                    break
            second.send(json.dumps({"tick": tick, "velocity": [0, 0.2, 0], "held": True}))
        near.bench.spin(0.1)
        assert near.twists and all(twist.twist.linear.y == 0.0 for twist in near.twists)
        assert near.rejected("driving: another page drives") > before


MALFORMED = [
    "",
    "{",
    "[]",
    "null",
    '{"tick": 1}',
    '{"tick": 1, "velocity": [0, 0], "held": true}',
    '{"tick": 1, "velocity": [0, 0, NaN], "held": true}',
    '{"tick": 1, "velocity": [0, 0, 1e400], "held": true}',
    '{"tick": 1, "velocity": [0, 0, "1"], "held": true}',
    '{"tick": 1, "velocity": [9, 0, 0], "held": true}',
    '{"tick": 1, "velocity": [0, 0, 0], "held": 1}',
    '{"tick": true, "velocity": [0, 0, 0], "held": true}',
    '{"tick": 1, "velocity": [0, 0, 0], "held": true, "more": 1}',
    "[" * 200,
    "x" * 1000,
    b"\xff\xfe\x00",
]


@pytest.mark.real_time
def test_driving_malformed_message_ends_the_socket_stops_the_hand_and_is_counted(near: ConsolePage) -> None:
    with counted(near, "driving: malformed message", len(MALFORMED)):
        for text in MALFORMED:
            near.twists.clear()
            with near.socket() as page:
                near.drive(page, SLOW, 0.15)
                page.send(text)
                assert closed(page).rcvd.code in (1003, 1007), text
            stands_and_has_not_let_go(near)


@pytest.mark.parametrize("path", ["/drive", NICEGUI])
@pytest.mark.real_time
def test_flood_of_messages_ends_the_socket_and_is_counted(near: ConsolePage, path: str) -> None:
    with counted(near, "page: flood of messages", 1), near.socket(path) as page:
        text = "3"
        if path == "/drive":
            tick = json.loads(page.recv(timeout=5))["tick"]
            text = json.dumps({"tick": tick, "velocity": SLOW, "held": True})
        with pytest.raises(ConnectionClosed):
            for _ in range(100_000):
                page.send(text)
        assert closed(page).rcvd.code == 1008
    stands_and_has_not_let_go(near)
    assert near.get()[0] == 200, "others are still served"


@pytest.mark.parametrize(("size", "code"), [(20_000, 1008), (200_000, 1009)])
def test_message_too_large_ends_the_socket_and_is_counted(near: ConsolePage, size: int, code: int) -> None:
    with counted(near, "page: message too large", 1), near.socket(NICEGUI) as page:
        page.send("4" + "2" * size)
        assert closed(page).rcvd.code == code


def test_message_malformed_for_the_page_ends_its_socket_and_is_counted(near: ConsolePage) -> None:
    texts = ("", "hello", "42[", '42["event"', "4", "47[1]", '42["event", NaN', b"\x00\x01")
    with counted(near, "page: malformed message", len(texts)):
        for text in texts:
            with near.socket(NICEGUI) as page:
                page.send(text)
                assert closed(page).rcvd.code == 1008, text


@pytest.mark.parametrize(
    "text",
    [
        '42["event",{"client_id":"nobody","id":1,"listener_id":"x","args":[1e999]}]',
        '42["event",{}]',
        '42["event",7]',
        '42["handshake",{"client_id":"nobody"}]',
        '42["javascript_response",[]]',
        '42["ack",{}]',
        '42["log"]',
    ],
)
def test_message_well_formed_but_wrong_does_no_harm(near: ConsolePage, text: str) -> None:
    with near.socket(NICEGUI) as page:
        page.recv(timeout=5)
        page.send("40")
        page.recv(timeout=5)
        page.send(text)
        near.bench.spin(0.3)
    assert near.get()[0] == 200
    with near.socket() as page:
        near.drive(page, SLOW, 0.2)
    assert near.bench.processes["console"].poll() is None


@pytest.mark.parametrize("made_up", ["127.0.0.1", "10.0.{}.{}"])
@pytest.mark.real_time
def test_many_requests_of_one_host_are_slowed_whatever_address_they_make_up(far: ConsolePage, made_up: str) -> None:
    with counted(far, "page: too many requests"):
        heads = ({"X-Forwarded-For": made_up.format(i // 250, i % 250)} for i in range(900))
        assert 429 in [far.get("/nothing", **head)[0] for head in heads]
    far.bench.until(lambda: far.get(f"/?token={far.token}")[0] == 303, 20)  # it is only for a while


def test_address_that_one_host_may_change_is_counted_as_one() -> None:
    assert network_of("127.0.0.1") == network_of("127.9.9.9") == network_of("::1") == network_of("::ffff:127.0.0.2")
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1%eth0") != network_of("2001:db8:0:1::1")
    assert network_of("10.0.0.1") == network_of("::ffff:10.0.0.1") != network_of("10.0.0.2")


@pytest.mark.parametrize(
    ("text", "good"),
    [("2", True), ("40", True), ('42["event",{"a":1}]', True), ('4212["a"]', True), ("2probe", True), ("9", False)],
)
def test_well_formed_tells_what_the_page_may_send(text: str, good: bool) -> None:
    assert well_formed(text) is good


@pytest.mark.parametrize(
    ("host", "near_by"), [("127.0.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_is_loopback(host: str, near_by: bool) -> None:
    assert is_loopback(host) is near_by


@pytest.mark.real_time
def test_driving_page_that_was_silent_pauses_the_arm_and_has_to_release_first(near: ConsolePage) -> None:
    events = near.bench.collect(String, "teleop/event")
    with near.socket() as page:
        near.drive(page, SLOW, 0.3)
        near.bench.until(lambda: bool(events), 2)
        assert [event.data for event in events] == ["pause"]
        near.bench.spin(0.2)
        near.twists.clear()
        near.drive(page, SLOW, 1.5)  # what waited is late; then it answers in time, but still holds on
        assert near.rejected("driving: release the control first") > 0
        assert not near.twists
        near.drive(page, SLOW, 0.1, held=False)
        near.drive(page, SLOW, 0.3)
        near.bench.until(lambda: bool(near.twists), 2)
        near.drive(page, SLOW, 0.2, held=False)
        near.bench.spin(0.5)
        assert len(events) == 1, "who lets go hands the arm back"


def test_page_whose_port_is_taken_is_served_at_another_and_its_address_is_reported(
    made: Bench, near: ConsolePage
) -> None:
    port = int(near.host.rpartition(":")[2])
    made.start("console", port=port)
    made.until(lambda: "open http" in made.output("console"), 40)
    assert f":{port}/" not in made.output("console")


@pytest.mark.parametrize("why", ["nicegui is not installed", "Cannot assign requested address"])
def test_page_that_can_not_be_is_reported_in_a_sentence_and_the_node_lives(tmp_path: Path, why: str) -> None:
    with bench(tmp_path) as made:
        missing = "nicegui" in why
        hidden = tmp_path / "hidden_size"
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text(
            "import importlib.util as u\nfind = u.find_spec\n"
            "u.find_spec = lambda name, *a: None if name == 'nicegui' else find(name, *a)\n"
        )
        path = f"{hidden}{os.pathsep}{ROOT}" if missing else str(ROOT)
        made.start("console", environment={"PYTHONPATH": path}, host="127.0.0.1" if missing else "192.0.2.1")
        made.until(lambda: why in made.output("console"), 40)
        assert "the rest goes on" in made.output("console")
        made.until(lambda: made.values("console").get("port") == "0", 5)
        assert made.stop("console")[0] == 0


def test_more_addresses_than_are_remembered_share_one_bucket_and_gain_no_new_burst() -> None:
    buckets = Buckets(rate=0.0, burst=1.0)
    assert sum(buckets.take(f"10.0.{i // 250}.{i % 250}") for i in range(4 * ADDRESSES)) == ADDRESSES + 1
    assert not buckets.take("10.0.0.0"), "who is limited is not forgotten"


def test_session_expires_and_is_of_one_token_and_one_port() -> None:
    now_s = [1e9]
    sessions = Sessions("secret", clock=lambda: now_s[0])
    cookie = sessions.new_cookie("lab:8765").partition(";")[0]
    assert sessions.has_cookie(f"a=1;{cookie}; b", "lab:8765")
    assert not sessions.has_cookie(cookie, "lab:8766")
    assert not Sessions("other", clock=lambda: now_s[0]).has_cookie(cookie, "lab:8765")
    later = cookie.replace("=1", "=2", 1)
    assert later != cookie and not sessions.has_cookie(later, "lab:8765")
    now_s[0] += SESSION_S - 1
    assert sessions.has_cookie(cookie, "lab:8765")
    now_s[0] += 1
    assert not sessions.has_cookie(cookie, "lab:8765")


def test_two_consoles_on_one_host_have_cookies_of_their_own(far: ConsolePage, tmp_path: Path) -> None:
    with console_page(tmp_path, host="0.0.0.0") as other:
        other.host = f"127.0.0.1:{port_of(other)}"
        jar = dict(session(one).split("=", 1) for one in (far, other))  # as a browser keeps them: by name, not by port
        cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
        assert [one.get(Cookie=cookies)[0] for one in (far, other)] == [200, 200]


@pytest.mark.parametrize("token", ["a&b", 'ä=1;"x"#%20+/?', "123456"])
def test_token_with_any_characters_is_printed_so_that_the_address_opens_the_page(token: str, tmp_path: Path) -> None:
    text = token.replace("\\", "\\\\").replace('"', '\\"')
    with console_page(tmp_path, token=f'"{text}"') as made:
        assert made.get()[0] == 403
        status, heads, _ = made.get(made.address.partition(made.host)[2])
        assert status == 303
        assert made.get(Cookie=heads["set-cookie"].partition(";")[0])[0] == 200


def raw(page: ConsolePage, text: str, seconds: float = 10.0) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", port_of(page)), timeout=seconds) as connection:
        connection.sendall(text.encode())
        while data := connection.recv(65536):
            answer += data
    return answer


@pytest.mark.real_time
def test_idle_connections_do_not_keep_the_operator_out(near: ConsolePage) -> None:
    before = near.rejected("page: too many connections")
    idle = [socket.create_connection(("127.0.0.1", port_of(near))) for _ in range(2 * CONNECTIONS)]
    slow = [socket.create_connection(("127.0.0.1", port_of(near))) for _ in range(CONNECTIONS)]
    try:
        for connection in slow:  # a request that never ends
            with suppress(OSError):
                connection.sendall(f"GET / HTTP/1.1\r\nHost: {near.host}\r\nX: ".encode())
        assert [near.get(path)[0] for path in ("/", "/driving.js")] == [200, 200]
        with near.socket() as page:
            near.drive(page, SLOW, 0.2)
            assert near.get()[0] == 200
        assert near.rejected("page: too many connections") > before
    finally:
        for connection in (*idle, *slow):
            connection.close()


@pytest.mark.real_time
def test_operator_who_drives_is_not_cut_off_by_a_crowd_of_connections(near: ConsolePage) -> None:
    with near.socket() as page:
        near.drive(page, SLOW, 0.1)
        crowd = [socket.create_connection(("127.0.0.1", port_of(near))) for _ in range(3 * CONNECTIONS)]
        near.twists.clear()
        near.drive(page, SLOW, 0.5)
        near.bench.spin(0.2)
        assert sum(twist.twist.linear.x == 0.1 for twist in near.twists) > 3
        for connection in crowd:
            connection.close()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: [\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://[\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n\r\n", 403),
        ("GET / HTTP/1.0\r\n\r\n", 400),
        ("GET /nothing HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        ("GET /_nicegui_ws/socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: {host}\r\n\r\n", 403),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        ("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\na", 405),
        ("nonsense\r\n\r\n", 400),
    ],
)
def test_request_that_no_page_of_ours_makes_is_rejected_and_the_connection_closed(
    near: ConsolePage, text: str, status: int
) -> None:
    answer = raw(near, text.replace("{host}", near.host))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert "Traceback" not in near.bench.output("console")


@pytest.mark.real_time
def test_head_of_a_request_without_end_is_cut_off(near: ConsolePage) -> None:
    with socket.create_connection(("127.0.0.1", port_of(near)), timeout=10) as connection, pytest.raises(OSError):
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {near.host}\r\n".encode())
        for _ in range(1000):
            connection.sendall(b"X: " + b"a" * 50_000 + b"\r\n")


def test_path_out_of_the_folders_is_not_served(near: ConsolePage) -> None:
    static = re.search(r"/_nicegui/[^/]+/", near.get()[2])
    assert static is not None
    ups = ("../" * 9, "%2e%2e/" * 9, "..%2f" * 9, "%2e%2e%2f" * 9, "/", "%2f", "....//" * 9, "..%5c" * 9, "%00/")
    for folder in ("static/", "resources/x/", "esm/nicegui-scene/", "components/", "libraries/", "dynamic_resources/"):
        for up in ups:
            text = f"GET {static[0]}{folder}{up}etc/passwd HTTP/1.1\r\nHost: {near.host}\r\nConnection: close\r\n\r\n"
            answer = raw(near, text)
            served = answer.startswith(b"HTTP/1.1 200") and b"x-nicegui-content: page" not in answer
            assert b"root:" not in answer and not served, (folder, up)


def test_page_cannot_be_framed_and_repeats_no_forwarded_header(near: ConsolePage) -> None:
    _, heads, text = near.get(**{"X-Forwarded-Prefix": "//evil.example", "X-Forwarded-Host": "evil.example"})
    assert heads["x-frame-options"] == "DENY" and "frame-ancestors 'none'" in heads["content-security-policy"]
    assert heads["x-content-type-options"] == "nosniff" and heads["referrer-policy"] == "no-referrer"
    assert "evil.example" not in text


def test_pages_that_are_fetched_and_never_opened_take_no_more_memory(near: ConsolePage) -> None:
    def memory_mb() -> float:
        status = Path(f"/proc/{near.bench.processes['console'].pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024

    def fetch(count: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(near), timeout=30)
        while count:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            if answer.status == 429:
                near.bench.spin(0.2)
            else:
                count -= 1

    fetch(150)
    before = memory_mb()
    fetch(250)
    assert memory_mb() - before < 50, "250 pages that are kept take 100 MB"
