"""Devices by name and signal. Setting a signal waits for the robot's word that it has heard, 0.1 s at least."""

import json

import rospy
from intera_core_msgs.msg import IOComponentCommand, IODeviceConfiguration, IODeviceStatus, IONodeConfiguration

from .waiting import wait_for


class Device:
    def __init__(self, path):
        self._config = self._state = None
        self._signals = {}
        rospy.Subscriber(path + "/config", IODeviceConfiguration, self._hear_config)
        rospy.Subscriber(path + "/state", IODeviceStatus, self._hear_state)
        self._command = rospy.Publisher(path + "/command", IOComponentCommand, queue_size=10)
        wait_for(lambda: self._config and self._config.time.secs, 5.0, f"no config at {path}")
        try:
            wait_for(lambda: self._state and self._state.time.secs, 5.0, f"no state at {path}")
        except TimeoutError:
            rospy.loginfo("no state at %s: the device may not be active yet", path)

    def names(self):
        return list(self._signals)

    def value(self, name):
        return self._signals[name][1] if name in self._signals else None

    def set(self, name, value, timeout_s=5.0):
        if name not in self._signals:
            rospy.logerr("no signal %s", name)
            return
        wanted = {"signals": {name: {"format": {"type": self._signals[name][0]}, "data": [value]}}}
        message = IOComponentCommand(time=rospy.Time.now(), op="set", args=json.dumps(wanted))
        end_s = rospy.get_time() + timeout_s
        while not rospy.is_shutdown() and rospy.get_time() < end_s:
            self._command.publish(message)
            if self._state and message.time in self._state.commands:
                return
            rospy.sleep(0.1)

    def _hear_config(self, message):
        self._config = message

    def _hear_state(self, message):
        if self._state and self._state.time == message.time:
            return
        self._state = message
        for signal in message.signals:
            self._signals[signal.name] = (json.loads(signal.format)["type"], json.loads(signal.data)[0])


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


class Lights:
    def __init__(self):
        self._device = Device("io/robot/robot")

    def list_all_lights(self):
        return [name for name in self._device.names() if "light" in name]

    def set_light_state(self, name, on=True):
        return self._device.set(name, on)


class Gripper:
    MAX_POSITION = 0.041667

    def __init__(self, name="right_gripper", calibrate=True):
        found = []
        rospy.Subscriber("/io/end_effector/config", IONodeConfiguration, found.append)
        wait_for(lambda: found and found[-1].devices and found[-1].devices[0].name == name, 5.0, "no gripper attached")
        self._device = Device("io/end_effector/" + name)
        if self._device.value("has_error"):
            self._device.set("reboot", True)
            calibrate = True
        if calibrate and not self.is_calibrated():
            self._device.set("calibrate", True)

    def is_calibrated(self):
        return self._device.value("is_calibrated")

    def get_position(self):
        return self._device.value("position_response_m")

    def set_position(self, position):
        self._device.set("position_m", position)
