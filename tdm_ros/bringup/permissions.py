"""What each node may publish, subscribe to, offer and call, as policies of SROS 2 and permissions of DDS Security."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from xml.etree import ElementTree as Xml

ENCLAVES = "/tdm_ros"
"""Prefix of the names of enclaves; the rest is the name of the node."""

OPERATOR = "operator"
"""Enclave of a person's tools: it may observe everything, and do what an operator may do."""

KINDS = ("publish", "subscribe", "offer", "call")
DOMAINS = (0, 232)
"""First and last domain of ROS 2."""


@dataclass(frozen=True)
class Interface:
    """Names of topics, services and actions, as in docs/nodes: relative, `~/` own, or absolute."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    offer: tuple[str, ...] = ()
    call: tuple[str, ...] = ()
    offer_actions: tuple[str, ...] = ()
    call_actions: tuple[str, ...] = ()

    def with_more(self, kind: str, names: Iterable[str]) -> Interface:
        """Return an interface with further names of a kind, which is one of `KINDS`."""
        both = dict.fromkeys((*getattr(self, kind), *names))
        return replace(self, **{kind: tuple(both)})


_LIFECYCLE = ("change_state", "get_state", "get_available_states", "get_available_transitions", "get_transition_graph")
_PARAMETERS = ("describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters")
EVERY_NODE = Interface(
    publish=("/rosout", "/parameter_events", "/diagnostics", "~/transition_event"),
    subscribe=("/parameter_events", "/clock"),
    offer=tuple(
        f"~/{name}" for name in (*_LIFECYCLE, *_PARAMETERS, "set_parameters_atomically", "get_type_description")
    ),
)
_TELEOP = ("teleop/engaged", "teleop/twist")
_OPERATOR = ("deadman", "goal", "goal_marker/feedback", "keep_out", "object_pose")
_SUPERVISOR = ("start", "pause", "stop", "reset", "clear_fault", "evaluate", "keep_goal")

NODES: dict[str, Interface] = {
    "arm": Interface(
        ("arm_state", "joint_states", "object_pose", "teleop/event", "arm_watchdog/command"),
        ("command", "deadman", "episode", "object_pose", *_TELEOP, "arm_watchdog/state"),
        ("~/enable", "~/reset", "~/stop"),
    ),
    "arm_watchdog": Interface(("arm_watchdog/state",), ("arm_watchdog/command",)),
    "policy": Interface(("command",), ("arm_state", "episode", "policy_weights", "subgoal")),
    "planner": Interface(
        ("plan_markers", "subgoal"), ("arm_state", "episode", "keep_out", "policy_weights", "transition")
    ),
    "supervisor": Interface(
        ("episode",),
        ("/diagnostics", "arm_state", "goal", "policy_weights", "subgoal", "teleop/event", "transition"),
        tuple(f"~/{name}" for name in _SUPERVISOR),
        offer_actions=("reach_goal",),
    ),
    "collector": Interface(("transition",), ("arm_state", "episode")),
    "trainer": Interface(("policy_weights", "reachability_markers"), ("episode", "transition")),
    "console": Interface(
        ("goal", *_TELEOP, "teleop/event"),
        ("/diagnostics", "arm_state", "episode", "plan_markers", "transition"),
        call=tuple(f"supervisor/{name}" for name in _SUPERVISOR),
    ),
    "scene": Interface(
        ("/tf", "/tf_static", "goal", "goal_marker/update", "robot_description", "scene_markers"),
        ("arm_state", "episode", "goal_marker/feedback"),
        ("goal_marker/get_interactive_markers",),
        ("arm/get_parameters",),
    ),
    "teleop_keyboard": Interface((*_TELEOP, "teleop/event")),
}
"""Of each node, besides `EVERY_NODE`; a test compares it with docs/nodes. Topics of a robot's controllers are not here:
they are those of the robot."""


def interfaces() -> dict[str, Interface]:
    """Return what each node and the operator may do."""
    whole = {name: _joined(EVERY_NODE, one) for name, one in NODES.items()}
    seen = tuple(topic for name, one in whole.items() for topic in _of(name, one.publish))
    services = tuple(service for name, one in whole.items() for service in _of(name, one.offer))
    whole[OPERATOR] = Interface(
        ("/rosout", "/parameter_events", *_OPERATOR, *_TELEOP, "teleop/event"),
        tuple(dict.fromkeys((*seen, "/clock"))),
        tuple(f"~/{name}" for name in (*_PARAMETERS, "set_parameters_atomically", "get_type_description")),
        tuple(dict.fromkeys(services)),
        call_actions=("reach_goal",),
    )
    return whole


def _joined(first: Interface, second: Interface) -> Interface:
    return Interface(**{name: (*vars(first)[name], *vars(second)[name]) for name in vars(first)})


def _of(node: str, names: Iterable[str]) -> list[str]:
    """Names, those that are a node's own by the name of that node."""
    return [f"{node}/{name[2:]}" if name.startswith("~/") else name for name in names]


def dds_topics(name: str, one: Interface, namespaces: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the DDS topics that a node may publish and subscribe to, in any of the namespaces; both sorted.

    Source: ROS 2 design, "Topic and Service name mapping to DDS": `rt` for topics, `rq` and `rr` for services.
    """
    out, into = {"ros_discovery_info"}, {"ros_discovery_info"}
    for space in namespaces:
        prefix = f"/{space.strip('/')}" if space.strip("/") else ""

        def full(names: Iterable[str], prefix: str = prefix) -> list[str]:
            return [text if text.startswith("/") else f"{prefix}/{text}" for text in _of(name, names)]

        out.update(f"rt{topic}" for topic in full(one.publish))
        into.update(f"rt{topic}" for topic in full(one.subscribe))
        for offered, services, actions in ((True, one.offer, one.offer_actions), (False, one.call, one.call_actions)):
            served, feedback = full(services), []
            for action in full(actions):
                served += [f"{action}/_action/{part}" for part in ("send_goal", "cancel_goal", "get_result")]
                feedback += [f"rt{action}/_action/{part}" for part in ("feedback", "status")]
            requests, replies = {f"rq{text}Request" for text in served}, {f"rr{text}Reply" for text in served}
            out.update(replies | {*feedback} if offered else requests)
            into.update(requests if offered else replies | {*feedback})
    return sorted(out), sorted(into)


def enclave_words(environ: Mapping[str, str], node: str) -> list[str]:
    """Return the ROS arguments that put a node into its enclave, where the environment enables security."""
    return ["--enclave", f"{ENCLAVES}/{node}"] if environ.get("ROS_SECURITY_ENABLE") == "true" else []


def permissions(
    enclave: str, topics: tuple[list[str], list[str]], validity: tuple[datetime, datetime], domains: str
) -> bytes:
    """Return the permissions document of an enclave: what it may publish and subscribe to; all else is denied."""
    root = Xml.Element("dds", _schema("permissions"))
    grant = Xml.SubElement(Xml.SubElement(root, "permissions"), "grant", name=enclave)
    Xml.SubElement(grant, "subject_name").text = f"CN={enclave}"
    times = Xml.SubElement(grant, "validity")
    for word, time in zip(("not_before", "not_after"), validity, strict=True):
        Xml.SubElement(times, word).text = time.strftime("%Y-%m-%dT%H:%M:%S")
    rule = Xml.SubElement(grant, "allow_rule")
    _add_domains(rule, domains)
    for word, names in zip(("publish", "subscribe"), topics, strict=True):
        listed = Xml.SubElement(Xml.SubElement(rule, word), "topics")
        for topic in names:
            Xml.SubElement(listed, "topic").text = topic
    Xml.SubElement(grant, "default").text = "DENY"
    return _text(root)


def governance(domains: str) -> bytes:
    """Return the governance document: nobody without an identity, access control and encryption of everything."""
    root = Xml.Element("dds", _schema("governance"))
    rule = Xml.SubElement(Xml.SubElement(root, "domain_access_rules"), "domain_rule")
    _add_domains(rule, domains)
    Xml.SubElement(rule, "allow_unauthenticated_participants").text = "false"
    Xml.SubElement(rule, "enable_join_access_control").text = "true"
    for what in ("discovery", "liveliness", "rtps"):
        Xml.SubElement(rule, f"{what}_protection_kind").text = "ENCRYPT"
    topic = Xml.SubElement(Xml.SubElement(rule, "topic_access_rules"), "topic_rule")
    Xml.SubElement(topic, "topic_expression").text = "*"
    for what in ("discovery_protection", "liveliness_protection", "read_access_control", "write_access_control"):
        Xml.SubElement(topic, f"enable_{what}").text = "true"
    for what in ("metadata", "data"):
        Xml.SubElement(topic, f"{what}_protection_kind").text = "ENCRYPT"
    return _text(root)


def policy(allowed: Mapping[str, Interface], namespaces: Iterable[str]) -> bytes:
    """Return the policy file of SROS 2, from which `ros2 security create_permission` makes the same permissions."""
    root = Xml.Element("policy", version="0.2.0")
    enclaves = Xml.SubElement(root, "enclaves")
    spaces = [f"/{space.strip('/')}" for space in namespaces]
    for name, one in allowed.items():
        profiles = Xml.SubElement(Xml.SubElement(enclaves, "enclave", path=f"{ENCLAVES}/{name}"), "profiles")
        for space in spaces:
            profile = Xml.SubElement(profiles, "profile", ns=space, node=name)
            for group, single, may, names in (
                ("topics", "topic", "publish", one.publish),
                ("topics", "topic", "subscribe", one.subscribe),
                ("services", "service", "reply", one.offer),
                ("services", "service", "request", one.call),
                ("actions", "action", "execute", one.offer_actions),
                ("actions", "action", "call", one.call_actions),
            ):
                listed = Xml.SubElement(profile, group, {may: "ALLOW"}) if names else None
                for text in names:
                    assert listed is not None
                    Xml.SubElement(listed, single).text = text.replace("~/", "~", 1) if text[0] == "~" else text
    return _text(root)


def _add_domains(rule: Xml.Element, domains: str) -> None:
    listed = Xml.SubElement(rule, "domains")
    if domains:
        Xml.SubElement(listed, "id").text = domains
        return
    span = Xml.SubElement(listed, "id_range")
    for word, number in zip(("min", "max"), DOMAINS, strict=True):
        Xml.SubElement(span, word).text = str(number)


def _schema(name: str) -> dict[str, str]:
    return {
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:noNamespaceSchemaLocation": f"http://www.omg.org/spec/DDS-SECURITY/20170901/omg_shared_ca_{name}.xsd",
    }


def _text(root: Xml.Element) -> bytes:
    Xml.indent(root)
    return Xml.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"
