"""A daemon for tests: started on a free port, asked over HTTP, stopped. Every answer
is held against the daemon's own openapi.json."""

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.parse

import openapi
import pictures

BUILD = os.environ["OSPREY_BUILD"]
SOURCE = os.environ["OSPREY_SOURCE"]
OSPREY = os.path.join(BUILD, "osprey")
SEARCHD = os.path.join(BUILD, "osprey-searchd")
DATA = os.path.join(SOURCE, "tests", "data", "images")
DESCRIPTION = openapi.Description(
    open(os.path.join(SOURCE, "searchd", "openapi.json"), encoding="utf-8").read())


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def form(parts, boundary="xX-boundary-Xx"):
    """(body, Content-Type) of a form: text parts are str, files are bytes."""
    out = b""
    for name, value in parts:
        head = 'Content-Disposition: form-data; name="%s"' % name
        if isinstance(value, bytes):
            head += '; filename="picture"\r\nContent-Type: application/octet-stream'
        data = value if isinstance(value, bytes) else value.encode()
        out += ("--%s\r\n%s\r\n\r\n" % (boundary, head)).encode() + data + b"\r\n"
    return out + ("--%s--\r\n" % boundary).encode(), "multipart/form-data; boundary=" + boundary


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    def __init__(self, *args, env=None, wait=True):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith("OSPREY_") or k in ("OSPREY_MODELS", "OSPREY_CPU")}
        clean.setdefault("OMP_NUM_THREADS", "2")
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([SEARCHD, "--json", *args], stdout=subprocess.PIPE,
                                        stderr=self.log, env=dict(clean, **(env or {})))
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise RuntimeError("no daemon: " + self.log_text())
        self.url = json.loads(line)["url"]
        self.unix = self.url[5:] if self.url.startswith("unix:") else None
        where = urllib.parse.urlsplit(self.url)
        self.host, self.port = where.hostname, None if self.unix else where.port

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def connect(self):
        if self.unix:
            return UnixConnection(self.unix)
        return http.client.HTTPConnection(self.host, self.port, timeout=60)

    def ask(self, method, path, json_body=None, parts=None, body=None, headers=None,
            expect=200, check=True):
        headers = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body).encode()
            headers.setdefault("Content-Type", "application/json")
        if parts is not None:
            body, headers["Content-Type"] = form(parts)
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers=headers,
                               encode_chunked="Transfer-Encoding" in headers)
            answer = connection.getresponse()
            reply = Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()
        assert expect is None or reply.status == expect, (method, path, reply.status, reply.body[:400])
        if reply.status >= 400 and method != "HEAD":
            error = reply.json["error"]
            assert set(reply.json) == {"error"} and set(error) == {"code", "message"}, reply.body
        if check:
            faults = DESCRIPTION.check(method, path, reply.status,
                                       reply.headers.get("Content-Type"), reply.body)
            assert not faults, (method, path, faults[:5])
        return reply

    def get(self, path, expect=200, **more):
        return self.ask("GET", path, expect=expect, **more)

    def post(self, path, json_body=None, expect=200, **more):
        return self.ask("POST", path, json_body=json_body, expect=expect, **more)

    def raw(self, data, read=True, timeout=10):
        """Sends bytes as they are; what comes back until the connection closes."""
        with socket.create_connection((self.host, self.port), timeout=timeout) as s:
            s.sendall(data)
            out = b""
            try:
                while read:
                    some = s.recv(65536)
                    if not some:
                        break
                    out += some
            except (socket.timeout, ConnectionResetError):
                pass
            return out

    def stop(self, how=signal.SIGTERM, timeout=90):
        """What it told on standard error; harmless the second time."""
        if self.log.closed:
            return ""
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(timeout=timeout)
        self.process.stdout.close()
        text = self.log_text()
        self.log.close()
        assert self.process.returncode == 0, (self.process.returncode, text)
        return text


class Shop:
    """A folder of pictures and the library made of it."""

    def __init__(self, n=12):
        self.tmp = tempfile.mkdtemp(prefix="osprey-searchd-")
        self.folder = os.path.join(self.tmp, "pictures")
        self.library = os.path.join(self.tmp, "library")
        os.mkdir(self.folder)
        pictures.fill(self.folder, n)

    def copy(self, name, below=""):
        """One of the test pictures, into the folder."""
        to = os.path.join(self.folder, below)
        os.makedirs(to, exist_ok=True)
        shutil.copy(os.path.join(DATA, name), to)

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        pictures.write(path, data)

    def index(self, *args):
        subprocess.run([OSPREY, "index", "--quiet", "--library", self.library, *args], check=True,
                       capture_output=True, env=dict(os.environ, OMP_NUM_THREADS="1"))

    def search(self, *args):
        run = subprocess.run([OSPREY, "search", "--json", "--library", self.library, *args],
                             check=True, capture_output=True)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def remove(self):
        shutil.rmtree(self.tmp)


class Served:
    """What a test case has beside: a daemon for the library of its cls.shop."""

    @classmethod
    def serve(cls, *options):
        cls.shop.index(cls.shop.folder)
        cls.daemon = Daemon("--port", "0", "--library", cls.shop.library, *options)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.shop.remove()


def read(name):
    with open(os.path.join(DATA, name), "rb") as f:
        return f.read()


def b64(data):
    return base64.b64encode(data).decode()
