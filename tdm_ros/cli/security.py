"""Make the keys and policies with which ROS 2 nodes authenticate and encrypt (SROS 2).

`init` writes a keystore as `ros2 security` does, with an enclave per node that may do what docs/nodes says, and one for
the operator's tools. Then, in each terminal: ROS_SECURITY_KEYSTORE=<folder> ROS_SECURITY_ENABLE=true
ROS_SECURITY_STRATEGY=Enforce, and for a tool ROS_SECURITY_ENCLAVE_OVERRIDE=/tdm_ros/operator. The RMW has to be built
with DDS Security; the wheels that set-up installs are not (SECURITY.md).
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from pathlib import Path

from tdm_ros.bringup.permissions import DOMAINS, KINDS, OPERATOR, Interface, interfaces

NAMESPACE = re.compile(r"/?([A-Za-z_]\w*(/[A-Za-z_]\w*)*)?", re.ASCII)
TOPIC = re.compile(r"(~/|/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="verb", required=True)
    text = "make a keystore with enclaves and policies for the nodes"
    add = verbs.add_parser("init", help=text, description=text[0].upper() + text[1:] + ".").add_argument
    add("folder", type=Path, metavar="FOLDER", help="a new folder; keep its `private` off the robot")
    add("--namespace", nargs="+", default=[""], metavar="NAME", help="of the nodes; fleet: / /arm1 /arm2 ...")
    add("--days", type=int, default=365, help="validity of keys and permissions (default: %(default)s)")
    add("--domain", type=int, help="the only ROS_DOMAIN_ID (default: any)")
    help_text = f"further topic or service of a robot's own; NODE as in docs/nodes, KIND {', '.join(KINDS)}; repeatable"
    add("--allow", nargs=3, action="append", default=[], metavar=("NODE", "KIND", "NAME"), help=help_text)


def run(arguments: argparse.Namespace) -> int:
    if importlib.util.find_spec("cryptography") is None:
        return _fail("cryptography is not installed: pip install 'tdm_ros[security]'")
    from tdm_ros.bringup.keystore import make_keystore

    try:
        allowed = _allowed(arguments)
        domain = "" if arguments.domain is None else str(arguments.domain)
        names = make_keystore(arguments.folder, allowed, arguments.namespace, arguments.days, domain)
    except (ValueError, OSError) as error:
        return _fail(str(error))
    print(f"{len(names)} enclaves in {arguments.folder}: {', '.join(names)}")
    print(
        f"export ROS_SECURITY_KEYSTORE={arguments.folder.resolve()} ROS_SECURITY_ENABLE=true "
        "ROS_SECURITY_STRATEGY=Enforce"
    )
    return 0


def _allowed(arguments: argparse.Namespace) -> dict[str, Interface]:
    """Return what each enclave may do; a ValueError says which argument is invalid."""
    if not 1 <= arguments.days <= 3650:
        raise ValueError(f"--days must be in 1 .. 3650, got {arguments.days}")
    if arguments.domain is not None and not DOMAINS[0] <= arguments.domain <= DOMAINS[1]:
        raise ValueError(f"--domain must be in {DOMAINS[0]} .. {DOMAINS[1]}, got {arguments.domain}")
    for name in arguments.namespace:
        if not NAMESPACE.fullmatch(name):
            raise ValueError(f"--namespace must be a namespace of ROS 2, such as /arm1, got {name!r}")
    allowed = interfaces()
    for node, kind, name in arguments.allow:
        if node not in allowed or kind not in KINDS or not TOPIC.fullmatch(name):
            raise ValueError(
                f"--allow must be a node ({', '.join(allowed)}), a kind ({', '.join(KINDS)}) and a name, "
                f"got {node} {kind} {name}"
            )
        allowed[node] = allowed[node].with_more(kind, [name])
        if kind in ("publish", "offer"):
            seen = "subscribe" if kind == "publish" else "call"
            allowed[OPERATOR] = allowed[OPERATOR].with_more(seen, [name.replace("~/", f"{node}/", 1)])
    return allowed


def _fail(sentence: str) -> int:
    print(f"tdm_ros security: {sentence}", file=sys.stderr)
    return 2
