"""Devices by name and signal."""

import json

import rospy
from intera_core_msgs.msg import IODeviceConfiguration, IODeviceStatus

from .waiting import wait_for


class Device:
    def __init__(self, path):
        self._config = self._state = None
        self._signals = {}
        rospy.Subscriber(path + "/config", IODeviceConfiguration, self._hear_config)
        rospy.Subscriber(path + "/state", IODeviceStatus, self._hear_state)
        wait_for(lambda: self._config and self._config.time.secs, 5.0, f"no config at {path}")
        try:
            wait_for(lambda: self._state and self._state.time.secs, 5.0, f"no state at {path}")
        except TimeoutError:
            rospy.loginfo("no state at %s: the device may not be active yet", path)

    def names(self):
        return list(self._signals)

    def value(self, name):
        return self._signals.get(name)

    def _hear_config(self, message):
        self._config = message

    def _hear_state(self, message):
        if self._state and self._state.time == message.time:
            return
        self._state = message
        for signal in message.signals:
            self._signals[signal.name] = json.loads(signal.data)[0]


class Cuff:
    def __init__(self, limb="right"):
        found = []
        rospy.Subscriber("/io/robot/cuff/config", IODeviceConfiguration, found.append)
        wait_for(lambda: found and found[-1].device.name == "cuff", 5.0, f"no cuff on limb {limb}")
        self._side, self._device = limb, Device("io/robot/cuff")

    def cuff_button(self):
        return bool(self._device.value(f"{self._side}_cuff"))

    def lower_button(self):
        return bool(self._device.value(f"{self._side}_button_lower"))

    def upper_button(self):
        return bool(self._device.value(f"{self._side}_button_upper"))


class Navigator:
    def __init__(self):
        self._device = Device("io/robot/navigator")

    def list_all_items(self):
        return self._device.names()

    def get_button_state(self, name):
        return self._device.value(name)
