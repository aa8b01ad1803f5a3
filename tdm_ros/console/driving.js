// Driving part of the page: keys, sliders that return to zero, and the button that takes control.
// It sends only in answer to a tick or after a change: a page that is closed, frozen or cut off sends nothing.
"use strict";
(() => {
  const KEYS = { KeyW: [0, 1], KeyS: [0, -1], KeyA: [1, 1], KeyD: [1, -1], KeyR: [2, 1], KeyF: [2, -1] };
  const TAKE_OVER = "Space";
  const pressed = new Set();
  const pads = new Map();
  let socket = null;
  let tick = 0;
  let taken = false;
  let held = false;
  let receivedMs = 0;
  const SILENT_MS = 1000;

  const by = (name) => document.getElementById(`drive-${name}`);
  const speed = () => Number(by("speed")?.value ?? 0);
  const keysOn = () => by("keys")?.checked ?? false;

  function velocity() {
    const sum = [0, 0, 0];
    for (const code of pressed) if (code in KEYS) sum[KEYS[code][0]] += KEYS[code][1];
    for (const [axis, value] of pads) sum[axis] += value;
    const length = Math.hypot(...sum);
    return sum.map((v) => (v / Math.max(length, 1)) * speed());
  }

  function answer() {
    const now = taken || pressed.size > 0 || pads.size > 0;
    if (!now && !held) return;
    held = now;
    if (socket?.readyState === WebSocket.OPEN) {
      socket.send(JSON.stringify({ tick, velocity: now ? velocity() : [0, 0, 0], held: now }));
    }
  }

  function releaseAll() {
    // A key that is still down repeats itself, which is ignored: it must be pressed again.
    pressed.clear();
    for (const axis of [...pads.keys()]) center(axis);
    taken = false;
    answer();
  }

  function center(axis) {
    pads.delete(axis);
    const pad = document.querySelector(`.drive-pad[data-axis="${axis}"]`);
    if (pad) pad.value = 0;
  }

  function show(driver) {
    const texts = { you: "you drive", other: "another page drives", none: "nobody drives" };
    document.body.classList.toggle("lost", !(driver in texts) && driver !== "lost"); // the page shows old values
    const label = by("who");
    if (label && label.dataset.driver !== driver) {
      label.dataset.driver = driver;
      label.textContent = texts[driver] ?? "not connected";
    }
    if (by("speed-text")) by("speed-text").textContent = `${speed().toFixed(2)} m/s`;
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/drive`);
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      tick = message.tick;
      receivedMs = performance.now();
      show(message.driver);
      if (message.driver === "lost") releaseAll();
      else answer();
    };
    socket.onclose = () => {
      held = false; // the next socket must not report this release
      releaseAll();
      show("disconnected");
      setTimeout(connect, 1000);
    };
  }

  const typing = (target) => target.matches?.("input[type=text], input[type=number], textarea, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    if (!(event.code in KEYS || event.code === TAKE_OVER) || !keysOn() || typing(event.target)) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (!event.repeat) {
      pressed.add(event.code);
      answer();
    }
  });
  document.addEventListener("keyup", (event) => {
    if (pressed.delete(event.code)) {
      event.preventDefault();
      answer();
    }
  });
  // A hidden page cannot know whether a held key still is: it disconnects, and the arm is paused.
  const lose = () => held && socket?.close();
  window.addEventListener("blur", lose);
  window.addEventListener("pagehide", lose);
  document.addEventListener("visibilitychange", () => document.hidden && lose());

  document.addEventListener("input", (event) => {
    if (!event.target.matches?.(".drive-pad")) return;
    pads.set(Number(event.target.dataset.axis), Number(event.target.value));
    answer();
  });
  document.addEventListener("pointerdown", (event) => {
    if (event.target.closest?.("#drive-take")) taken = true;
    else if (event.target.matches?.(".drive-pad")) pads.set(Number(event.target.dataset.axis), 0);
    answer();
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => {
    taken = false;
    for (const axis of [...pads.keys()]) center(axis);
    answer();
  });
  document.addEventListener("contextmenu", (event) => {
    if (event.target.closest?.("#drive")) event.preventDefault();
  });

  setInterval(() => performance.now() - receivedMs > SILENT_MS && show("disconnected"), SILENT_MS / 4);
  connect();
})();
