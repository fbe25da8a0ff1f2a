"""What searchd refuses: strangers, other sites' pages, paths that lead outside,
bodies and pictures that are too large, and clients that are too slow."""

import concurrent.futures
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

import pictures
import searchd
from searchd import b64, read

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": "Bearer " + TOKEN}


def token_file(folder, *tokens):
    path = os.path.join(folder, "tokens")
    with open(path, "w") as f:
        f.write("# who may ask\n" + "".join(t + "\n" for t in tokens))
    return path


class Shared(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(6)
        cls.shop.copy("exif.jpg", "real")
        cls.shop.index(cls.shop.folder)

    @classmethod
    def tearDownClass(cls):
        cls.shop.remove()

    def start(self, *args, **more):
        daemon = searchd.Daemon("--port", "0", "--library", self.shop.library, *args, **more)
        self.addCleanup(daemon.stop)
        return daemon


class Tokens(Shared):
    def test_every_route_wants_one(self):
        daemon = self.start("--token-file", token_file(self.shop.tmp, TOKEN, "another-token-of-ours"))
        for path in ("/v1/search?q=a", "/v1/stats", "/v1/images", "/v1/images/1", "/metrics",
                     "/v1/images/1/file", "/v1/images/1/thumbnail", "/v1/images/1/similar",
                     "/v1/libraries", "/indices-list", "/v1/nothing"):
            reply = daemon.get(path, 401, check=path != "/v1/nothing")
            self.assertIn("Bearer", reply.headers["WWW-Authenticate"])
        for path in ("/v1/search", "/v1/embeddings", "/v1/classify", "/predict", "/knn-service"):
            daemon.post(path, {}, 401)
        for path in ("/healthz", "/readyz", "/ping", "/", "/openapi.json"):
            daemon.get(path)
        daemon.get("/v1/stats", headers=BEARER)
        daemon.get("/v1/stats", headers={"Authorization": "bearer another-token-of-ours"})
        for wrong in ("Bearer " + TOKEN[:-1], "Bearer " + TOKEN + "x", "Bearer", "Bearer ", TOKEN,
                      "Basic " + TOKEN, "Bearer " + TOKEN.upper(), "Bearer " + "x" * 5000,
                      "Bearer # who may ask"):
            daemon.get("/v1/stats", 401, headers={"Authorization": wrong})
        daemon.get("/v1/stats?token=" + TOKEN, 401)

    def test_the_page_logs_in_with_a_cookie(self):
        daemon = self.start("--token-file", token_file(self.shop.tmp, TOKEN))
        daemon.post("/v1/login", {"token": "wrong-wrong-wrong-wrong"}, 401)
        daemon.post("/v1/login", {}, 400)
        reply = daemon.post("/v1/login", {"token": TOKEN}, 204)
        cookie = reply.headers["Set-Cookie"]
        for word in ("HttpOnly", "SameSite=Strict", "Path=/"):
            self.assertIn(word, cookie)
        value = cookie.split(";")[0]
        daemon.get("/v1/images/1/thumbnail", headers={"Cookie": "a=b; " + value + "; c=d"})
        daemon.get("/v1/stats", 401, headers={"Cookie": value[:-1]})
        daemon.get("/v1/stats", 401, headers={"Cookie": "x" + value})
        gone = daemon.post("/v1/logout", expect=204).headers["Set-Cookie"]
        self.assertIn("Max-Age=0", gone)

    def test_files_of_tokens_are_checked(self):
        for tokens in (["short"], ["x" * 257], ["has spaces in its middle"], [], ["semi;colon;semi;colon"]):
            run = subprocess.run([searchd.SEARCHD, "--library", self.shop.library, "--port", "0",
                                  "--token-file", token_file(self.shop.tmp, *tokens)],
                                 capture_output=True, timeout=30)
            self.assertEqual(run.returncode, 3, tokens)
            self.assertIn(b"token", run.stderr)
            for token in tokens:
                self.assertNotIn(token.encode(), run.stderr)

    def test_other_addresses_need_tokens(self):
        for address in ("0.0.0.0", "::"):
            run = subprocess.run([searchd.SEARCHD, "--library", self.shop.library, "--port", "0",
                                  "--listen", address], capture_output=True, timeout=30)
            self.assertEqual(run.returncode, 2)
            self.assertIn(b"--token-file", run.stderr)
        daemon = self.start("--listen", "0.0.0.0", "--trust", "10.11.12.0/24")
        daemon.get("/v1/stats", 401)  # nobody there is trusted, and no token is right
        daemon.get("/v1/stats", 401, headers={"Authorization": "Bearer "})
        daemon = self.start("--listen", "0.0.0.0", "--trust", "10.0.0.0/8", "--trust", "127.0.0.0/8")
        daemon.get("/v1/stats")
        daemon = self.start("--listen", "0.0.0.0", "--token-file", token_file(self.shop.tmp, TOKEN))
        daemon.get("/v1/stats", 401)
        daemon.get("/v1/stats", headers=BEARER)

    def test_a_socket_goes_without(self):
        path = os.path.join(self.shop.tmp, "socket")
        daemon = self.start("--listen", "unix:" + path, "--token-file",
                            token_file(self.shop.tmp, TOKEN))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o660)
        self.assertEqual(daemon.get("/v1/stats", headers={"Host": "whatever"}).json["images"], 7)
        run = subprocess.run([searchd.SEARCHD, "--library", self.shop.library, "--listen",
                              "unix:" + path], capture_output=True, timeout=30)
        self.assertEqual(run.returncode, 3)  # it is served already
        daemon.get("/healthz")

    def test_a_stale_socket_is_replaced(self):
        path = os.path.join(self.shop.tmp, "stale")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
        self.start("--listen", "unix:" + path).get("/healthz")


class Browsers(Shared):
    def test_names_that_are_not_ours(self):
        daemon = self.start()
        for host in ("evil.example", "127.evil.example", "localhost.evil.example", "127.0.0.1.nip.io",
                     "evil.example:7373", "localhost:7373@evil.example", "a b", "", ":80", "[::1",
                     "localhost:80:80", "localhost:evil", "x" * 300):
            daemon.get("/v1/stats", 403, headers={"Host": host})
            daemon.get("/", 403, headers={"Host": host})
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80", "192.168.1.7:7373"):
            daemon.get("/v1/stats", headers={"Host": host})
        named = self.start("--host", "photos.home.arpa")
        named.get("/v1/stats", headers={"Host": "Photos.home.arpa:7373"})
        named.get("/v1/stats", 403, headers={"Host": "other.home.arpa"})

    def test_a_right_token_needs_no_name(self):
        daemon = self.start("--token-file", token_file(self.shop.tmp, TOKEN))
        daemon.get("/v1/stats", headers=dict(BEARER, Host="osprey"))
        # ... but a cookie does: a browser sends it along
        daemon.get("/v1/stats", 403, headers={"Host": "evil.example", "Cookie": "osprey_token=" + TOKEN})

    def test_other_sites(self):
        daemon = self.start()
        own = "http://127.0.0.1:%d" % daemon.port
        image = "/v1/images/1/file"
        for origin in ("http://evil.example", "https://127.0.0.1:%d.evil.example" % daemon.port,
                       "http://127.0.0.1:1", "null", ""):
            daemon.get("/v1/stats", 403, headers={"Origin": origin})
            daemon.post("/v1/search", {"q": "a"}, 403, headers={"Origin": origin})
        daemon.post("/v1/search", {"q": "a"}, headers={"Origin": own})
        for site in ("cross-site", "same-site"):
            daemon.get(image, 403, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})
            daemon.get("/", 200, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"})
        for site in ("same-origin", "none"):
            daemon.get(image, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})
        reply = daemon.get("/v1/stats", headers={"Origin": own})
        self.assertIsNone(reply.headers["Access-Control-Allow-Origin"])
        self.assertEqual(reply.headers["Cross-Origin-Resource-Policy"], "same-origin")
        for kind in ("text/plain", "multipart/form-data"):  # what a form can send unasked
            daemon.post("/v1/search", body=b'{"q": "a"}', expect=403,
                        headers={"Content-Type": kind, "Origin": "http://evil.example"})

    def test_listed_origins(self):
        site = "https://photos.example"
        daemon = self.start("--cors", site, "--token-file", token_file(self.shop.tmp, TOKEN))
        asked = {"Origin": site, "Access-Control-Request-Method": "POST"}
        reply = daemon.ask("OPTIONS", "/v1/search", headers=asked, expect=204, check=False)
        self.assertEqual(reply.headers["Access-Control-Allow-Origin"], site)
        self.assertIn("Authorization", reply.headers["Access-Control-Allow-Headers"])
        reply = daemon.post("/v1/search", {"q": "a"}, headers=dict(BEARER, Origin=site))
        self.assertEqual(reply.headers["Access-Control-Allow-Origin"], site)
        self.assertEqual(reply.headers["Vary"], "Origin")
        daemon.post("/v1/search", {"q": "a"}, 401, headers={"Origin": site})
        other = dict(asked, Origin="https://evil.example")
        reply = daemon.ask("OPTIONS", "/v1/search", headers=other, expect=403, check=False)
        self.assertIsNone(reply.headers["Access-Control-Allow-Origin"])


class Files(Shared):
    def setUp(self):
        self.folder = os.path.join(self.shop.folder, "moving")
        os.mkdir(self.folder)
        for i in range(3):
            pictures.write(os.path.join(self.folder, "%d.png" % i), pictures.png(900 + i))
        self.shop.index()
        self.outside = tempfile.mkdtemp(prefix="osprey-outside-")
        pictures.write(os.path.join(self.outside, "secret.png"), pictures.png(1000))
        self.addCleanup(shutil.rmtree, self.outside)
        self.addCleanup(self.shop.index)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def image(self, daemon, name):
        found = daemon.get("/v1/images?name=moving/" + name).json["images"]
        self.assertEqual(len(found), 1)
        return found[0]

    def refuse(self, daemon, image):
        with open(os.path.join(self.outside, "secret.png"), "rb") as f:
            secret = f.read()
        for path in (image["file"], image["thumbnail"]):
            self.assertNotIn(secret[50:90], daemon.get(path, 404).body)

    def test_links_that_lead_outside(self):
        daemon = self.start()
        image = self.image(daemon, "0.png")
        path = os.path.join(self.folder, "0.png")
        for target in (os.path.join(self.outside, "secret.png"), "/etc/passwd", "/proc/self/environ",
                       os.path.relpath(os.path.join(self.outside, "secret.png"), self.folder)):
            os.remove(path)
            os.symlink(target, path)
            self.refuse(daemon, image)
        os.remove(path)
        os.symlink("1.png", path)  # inside: fine
        self.assertEqual(daemon.get(image["file"]).body, pictures.png(901))

    def test_a_folder_that_became_a_link(self):
        daemon = self.start()
        image = self.image(daemon, "1.png")
        shutil.rmtree(self.folder)
        shutil.copy(os.path.join(self.outside, "secret.png"), os.path.join(self.outside, "1.png"))
        os.symlink(self.outside, self.folder)
        self.refuse(daemon, image)
        os.remove(self.folder)

    def test_what_is_no_file_any_more(self):
        daemon = self.start()
        image = self.image(daemon, "2.png")
        path = os.path.join(self.folder, "2.png")
        os.remove(path)
        self.refuse(daemon, image)
        os.mkfifo(path)  # must not wait for a writer
        self.refuse(daemon, image)
        os.remove(path)
        os.mkdir(path)
        self.refuse(daemon, image)
        os.rmdir(path)
        pictures.write(path, b"no picture any more")
        daemon.get(image["thumbnail"], 404)

    def test_paths_are_no_paths(self):
        daemon = self.start()
        for path in ("/v1/images/../../etc/passwd", "/v1/images/1/../../../etc/passwd",
                     "/v1/images/%2e%2e%2f%2e%2e%2fetc%2fpasswd/file", "/v1/images/1%00/file",
                     "/page/../../CMakeLists.txt", "/page/%2e%2e/openapi.json", "/page//etc/passwd",
                     "//etc/passwd", "/v1/images//etc/passwd/file", "/v1/images/1/file/../thumbnail",
                     "/..%5c..%5cwindows"):
            self.assertNotIn(b"root:", daemon.get(path, None, check=False).body)
            self.assertIn(daemon.get(path, None, check=False).status, (400, 404), path)
        found = daemon.get("/v1/search?q=a&folder=" + self.shop.folder + "/../..", 200).json
        self.assertEqual(found["results"], [])


class Sizes(Shared):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon = searchd.Daemon("--port", "0", "--library", cls.shop.library, "--max-body",
                                    "100000", "--max-pixels", "1000000", "--max-k", "50", "-k", "5")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        super().tearDownClass()

    def test_bodies(self):
        json_type = {"Content-Type": "application/json"}
        for path in ("/v1/search", "/v1/embeddings", "/predict", "/knn-service", "/v1/classify",
                     "/v1/login"):
            self.daemon.post(path, body=b"x" * 100001, headers=json_type, expect=413)
            # without a length it is noticed on the way
            self.daemon.post(path, body=iter([b"x" * 50000] * 3), expect=413,
                             headers=dict(json_type, **{"Transfer-Encoding": "chunked"}))
        self.daemon.post("/v1/search", body=b"x" * 100000, headers=json_type, expect=400)
        answer = self.daemon.raw(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"
                                 b"Content-Length: 9999999999999999\r\n\r\n", timeout=5)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413"), answer[:60])
        # one that goes on and on is cut off
        with socket.create_connection((self.daemon.host, self.daemon.port), timeout=10) as s:
            s.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            with self.assertRaises(OSError):
                for _ in range(2000):
                    s.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    def test_headers(self):
        for head in (b"X-Long: " + b"a" * 100000, b"\r\n".join(b"X-%d: %s" % (i, b"b" * 50)
                                                              for i in range(2000))):
            answer = self.daemon.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n")
            self.assertTrue(not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), answer[:60])
        self.daemon.get("/v1/search?q=a&" + "&".join("x%d=1" % i for i in range(200)), 400)

    def test_k(self):
        self.daemon.get("/v1/search?q=a&k=50")
        self.daemon.get("/v1/search?q=a&k=51", 400)
        self.daemon.post("/v1/search", {"q": "a", "k": 51}, 400)

    def test_bombs(self):
        def png(width, height, data):
            head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
            return (pictures.PNG_MAGIC + pictures.chunk(b"IHDR", head) +
                    pictures.chunk(b"IDAT", data) + pictures.chunk(b"IEND", b""))

        bomb = zlib.compress(bytes(30000000), 9)  # 30 MB in 30 kB
        for data in (png(60000, 60000, bomb), png(1001, 1000, bomb), png(3000, 3000, bomb),
                     png(0x7FFFFFFF, 1, bomb), pictures.jpeg_header(65535, 65535) + b"\xff\xd9"):
            for request in ({"json_body": {"image": b64(data)}}, {"parts": [("image", data)]}):
                start = time.monotonic()
                self.daemon.post("/v1/search", expect=400, **request)
                self.assertLess(time.monotonic() - start, 5)
            self.daemon.post("/predict", expect=400, parts=[
                ("entries", '{"clip": {"visual": {}}}'), ("image", data)])
        deep = b'{"q":' * 30000
        self.daemon.post("/v1/search", body=deep, headers={"Content-Type": "application/json"}, expect=413)
        self.daemon.post("/v1/search", body=deep[:99000], headers={"Content-Type": "application/json"},
                         expect=400)
        self.daemon.post("/v1/search", parts=[("image", read("exif.jpg"))])


class Slow(Shared):
    def test_a_client_that_trickles_is_cut_off(self):
        daemon = self.start(env={"OSPREY_ARRIVE_SECONDS": "2"})
        socks = []
        for head in (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
                     b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     b"Content-Length: 1000\r\n\r\n"):
            for _ in range(20):
                s = socket.create_connection((daemon.host, daemon.port), timeout=10)
                s.sendall(head)
                socks.append(s)
        start = time.monotonic()
        alive = set(range(len(socks)))
        while alive and time.monotonic() - start < 15:
            for i in list(alive):
                try:
                    socks[i].sendall(b"a")
                except OSError:
                    alive.discard(i)
            daemon.get("/healthz")  # others are served meanwhile
            time.sleep(0.3)
        for s in socks:
            s.close()
        self.assertEqual(alive, set())

    def test_many_who_say_nothing(self):
        daemon = self.start()
        socks = [socket.create_connection((daemon.host, daemon.port), timeout=10) for _ in range(150)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: daemon.get("/v1/search?q=word+%d" % i), range(40)))
        for s in socks:
            s.close()

    def test_clients_that_hang_up(self):
        daemon = self.start()
        body, kind = searchd.form([("image", read("exif.jpg")), ("k", "1")])
        request = (b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n"
                   b"Content-Length: %d\r\n\r\n" % (kind.encode(), len(body))) + body
        for i in range(200):
            with socket.create_connection((daemon.host, daemon.port), timeout=10) as s:
                s.sendall(request[:len(request) * (i % 11) // 10])
                if i % 3 == 0:  # with a reset
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        values = {}
        for _ in range(100):
            text = daemon.get("/metrics").body.decode()
            values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
            if float(values["osprey_requests_in_flight"]) == 1:  # this one
                break
            time.sleep(0.1)
        self.assertEqual(float(values["osprey_requests_in_flight"]), 1)
        self.assertEqual(float(values["osprey_requests_queued"]), 0)
        daemon.post("/v1/search", parts=[("image", read("exif.jpg"))])


if __name__ == "__main__":
    unittest.main(verbosity=2)
