"""A browser for tests: Debian's chromium through its chromedriver, spoken to in the
WebDriver protocol (w3.org/TR/webdriver2) with urllib alone."""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver") or shutil.which("chromium.driver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Left": "\ue012", "Up": "\ue013", "Right": "\ue014",
        "Down": "\ue015", "Tab": "\ue004", "Home": "\ue011", "End": "\ue010",
        "PageUp": "\ue00e", "PageDown": "\ue00f", "Space": " "}
# What the driver says of an element that may yet come, be shown, or come out from under
# another; the click was not made.
NOT_YET = {"no such element", "element not interactable", "element click intercepted",
           "stale element reference"}


class Failure(Exception):
    """An answer of the driver that is an error; `kind` is the protocol's word for it."""

    def __init__(self, value):
        super().__init__("%s: %s" % (value.get("error"), value.get("message")))
        self.kind = value.get("error")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Browser:
    def __init__(self, language="en-US", width=1280, height=900):
        self.profile = tempfile.mkdtemp(prefix="osprey-chromium-")
        self.port = free_port()
        self.log = open(os.path.join(self.profile, "driver.log"), "wb")
        # A group of its own under a shell that ends all of it when this process closes
        # the pipe, or was killed: a browser outlives its driver.
        self.driver = subprocess.Popen(["/bin/sh", "-c", '"$@" & read end; kill -KILL 0', "sh", DRIVER,
                                        "--port=%d" % self.port], stdin=subprocess.PIPE,
                                       stdout=self.log, stderr=self.log, start_new_session=True,
                                       env=dict(os.environ, HOME=self.profile, TMPDIR=self.profile))
        self.session = None
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--no-first-run", "--no-proxy-server", "--disable-extensions",
                     "--disable-background-networking", "--disable-component-update",
                     "--hide-scrollbars", "--force-device-scale-factor=1",
                     "--user-data-dir=" + os.path.join(self.profile, "data"),
                     "--lang=" + language, "--accept-lang=" + language,
                     "--window-size=%d,%d" % (width, height)]
        wanted = {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "unhandledPromptBehavior": "accept",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments,
                                   "prefs": {"intl.accept_languages": language}},
            "goog:loggingPrefs": {"browser": "ALL"}}}}
        try:
            self.wait_for_driver()
            self.session = self.ask("POST", "/session", wanted)["sessionId"]
            # Generous: a machine may have other work as well.
            self.call("POST", "/timeouts", {"script": 120_000, "pageLoad": 60_000})
        except BaseException:
            self.close()
            raise

    def wait_for_driver(self):
        end = time.monotonic() + 20
        while True:
            try:
                if self.ask("GET", "/status")["ready"]:
                    return
            except OSError:
                if time.monotonic() > end or self.driver.poll() is not None:
                    raise
            time.sleep(0.05)

    def ask(self, method, path, body=None):
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), data, method=method,
                                         headers={"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=150) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise Failure(json.load(error)["value"]) from None

    def call(self, method, path, body=None):
        return self.ask(method, "/session/%s%s" % (self.session, path), body)

    def close(self):
        try:
            if self.session:
                self.call("DELETE", "")
        except (Failure, OSError):
            pass
        self.driver.stdin.close()
        self.driver.wait()
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    # ---- What a person does ----

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def back(self):
        self.call("POST", "/back")

    def forward(self):
        self.call("POST", "/forward")

    def find(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector, seconds=40):
        """Once it is there to be clicked: what appears only when the daemon has answered
        is waited for, as a person would."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.call("POST", "/element/%s/click" % self.find(selector))
                return
            except Failure as failure:
                if failure.kind not in NOT_YET or time.monotonic() > end:
                    raise
            time.sleep(0.04)

    def type(self, selector, text):
        self.call("POST", "/element/%s/value" % self.find(selector), {"text": text})

    def press(self, *names):
        """Keys, one after the other, to whatever has the focus; "Shift+Tab" is held."""
        actions = []
        for name in names:
            held = name.startswith("Shift+")
            key = name[6:] if held else name
            key = KEYS.get(key, key)
            if held:
                actions.append({"type": "keyDown", "value": "\ue008"})
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
            if held:
                actions.append({"type": "keyUp", "value": "\ue008"})
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def swipe(self, x0, y0, x1, y1):
        move = lambda x, y, ms: {"type": "pointerMove", "x": x, "y": y, "duration": ms}
        self.call("POST", "/actions", {"actions": [{
            "type": "pointer", "id": "finger", "parameters": {"pointerType": "touch"},
            "actions": [move(x0, y0, 0), {"type": "pointerDown", "button": 0},
                        move(x1, y1, 120), {"type": "pointerUp", "button": 0}]}]})

    def resize(self, width, height):
        """The window's inside: also narrower than a real window would become."""
        self.cdp("Emulation.setDeviceMetricsOverride",
                 {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def emulate(self, **features):
        """prefers_color_scheme="dark" and the like."""
        self.cdp("Emulation.setEmulatedMedia", {"features": [
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()]})

    # ---- What one sees ----

    def cdp(self, command, parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script, *args):
        """The value of a function's body; `arguments` are the args."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def run_async(self, script, *args):
        """The script calls its last argument when it is done."""
        return self.call("POST", "/execute/async", {"script": script, "args": list(args)})

    def wait(self, script, *args, seconds=40, what=None):
        """Until the expression is true; its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.run("return (%s)" % script, *args)
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError("%s did not become true: %s" % (what or script, self.describe()))
            time.sleep(0.04)

    def describe(self):
        text = self.run("return document.body ? document.body.innerText : ''")
        return "%s: %r %s" % (self.url(), text[:500], self.complaints())

    def url(self):
        return self.call("GET", "/url")

    def complaints(self):
        """What the browser's console says since it was last asked: errors, refusals."""
        return [e["message"] for e in self.call("POST", "/se/log", {"type": "browser"})
                if e["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("GET", "/screenshot")))
