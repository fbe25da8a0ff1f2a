"""Drives `osprey model get` against a hub on this machine (hub.py) that cuts connections,
sends wrong bytes, lies in its listings or has not what is asked for. Python's standard
library alone; nothing leaves the machine.
"""

import json
import os
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import time
import unittest

import hub
from hub import OSPREY, checkpoint, sha256


class Faults(hub.Get):
    # ---- what goes wrong on the way ----

    def test_cut_connections_are_gone_on_with(self):
        self.cdn.faults["cut"] = [10000, 20000, 1]
        _, err = self.get()
        self.assert_whole()
        ranges = [h.get("Range") for h in self.blob_requests()]
        self.assertEqual(ranges, [None, "bytes=10000-", "bytes=30000-", "bytes=30001-"])
        self.assertEqual(err.count("trying again"), 3)

    def test_a_server_without_ranges(self):
        self.cdn.faults.update(cut=[10000], ignore_range=True)
        self.get()
        self.assert_whole()

    def test_a_range_from_elsewhere_is_not_taken(self):
        self.cdn.faults.update(cut=[10000], shift=5)
        _, err = self.get(status=3)
        self.assertIn("sent them from 10005", err)
        self.assert_nothing()

    def test_gives_up_when_nothing_comes(self):
        self.cdn.faults["cut"] = [0] * 50
        _, err = self.get(status=3)
        self.assertIn("gave up", err)
        self.assertEqual(len(self.blob_requests()), 6)
        self.assert_nothing()
        self.cdn.faults.clear()
        self.get()
        self.assert_whole()

    def test_a_stall_times_out_and_is_gone_on_with(self):
        self.cdn.faults["stall"] = [5000]
        start = time.monotonic()
        self.get(env={"OSPREY_HUB_TIMEOUT": "1"})
        self.assertLess(time.monotonic() - start, 15)
        self.assert_whole()
        self.assertEqual([h.get("Range") for h in self.blob_requests()], [None, "bytes=5000-"])

    def test_busy_servers_are_asked_again(self):
        self.hub.faults["status"] = [(503, ()), (429, [("Retry-After", "1")])]
        self.cdn.faults["status"] = [(500, ())]
        start = time.monotonic()
        self.get()
        self.assertGreater(time.monotonic() - start, 1)
        self.assert_whole()

    def test_wrong_bytes_are_deleted(self):
        self.cdn.faults["corrupt"] = True
        _, err = self.get(status=3)
        self.assertIn("SHA-256", err)
        self.assertIn("model.safetensors", err)
        self.assert_nothing()
        self.assertEqual(self.parts(), [])
        self.assertNotIn(self.MODEL, self.osprey("model", "list")[0])
        self.cdn.faults.clear()
        self.get()
        self.assert_whole()

    def test_wrong_small_files_are_noticed(self):
        def other_config(answer):
            for s in answer["siblings"]:
                if s["rfilename"] == "config.json":
                    s["blobId"] = "0" * 40
        self.world.edit = other_config
        _, err = self.get(status=3)
        self.assertIn("config.json", err)
        self.assertEqual(self.blob_requests(), [])

    def test_more_bytes_than_stated(self):
        self.cdn.faults["longer"] = True
        _, err = self.get(status=3)
        self.assertIn("longer than", err)
        self.assert_nothing()

    def test_what_an_earlier_run_left_wrong_is_fetched_anew(self):
        os.makedirs(self.stage())
        with open(os.path.join(self.stage(), "model.safetensors.%s.part" % sha256(self.weights)[:16]), "wb") as f:
            f.write(b"\xff" * 9000)
        _, err = self.get()
        self.assertIn("anew", err)
        self.assert_whole()
        self.assertEqual([h.get("Range") for h in self.blob_requests()], ["bytes=9000-", None])

    def test_interrupted_and_continued(self):
        for number in (signal.SIGINT, signal.SIGKILL):
            self.cdn.faults["stall"] = [30000]
            p = subprocess.Popen([OSPREY, "model", "get", self.MODEL], cwd=self.cwd, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=self.environment(OSPREY_HUB_TIMEOUT="60"))
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not any(
                    os.path.getsize(os.path.join(self.stage(), f)) == 30000 for f in self.parts()):
                time.sleep(0.02)
            _, err = self.get(status=3)
            self.assertIn("another osprey is fetching", err)
            p.send_signal(number)
            _, err = p.communicate(timeout=20)
            if number == signal.SIGINT:
                self.assertEqual(p.returncode, 3)
                self.assertIn(b"goes on from there", err)
            self.assert_nothing()
            self.cdn.seen.clear()
            self.get()
            self.assertEqual([h.get("Range") for h in self.blob_requests()], ["bytes=30000-"])
            self.assert_whole()
            shutil.rmtree(self.folder())

    def test_a_full_disk_is_told_and_continued(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        _, err = self.get(status=3, preexec_fn=limit, restore_signals=False)
        self.assertIn("File too large", err)
        self.assertIn(".part", err)
        self.assert_nothing()
        self.get()
        self.assert_whole()
        self.assertEqual(self.blob_requests()[-1].get("Range"), "bytes=20000-")

    def test_more_than_the_disk_has(self):
        def huge(answer):
            for s in answer["siblings"]:
                if s["rfilename"] == "model.safetensors":
                    s["lfs"]["size"] = s["size"] = 150 * 10**9
        self.world.edit = huge
        if shutil.disk_usage(self.tmp).free > 140 * 10**9:
            self.skipTest("this disk is too large")
        _, err = self.get(status=3)
        self.assertIn("free", err)
        self.assertEqual(self.blob_requests(), [])

    # ---- what is not there, or not what it should be ----

    def test_no_such_thing(self):
        _, err = self.get("some-lab/other", status=3)
        self.assertIn("some-lab/other", err)
        self.assertIn("check the name", err)
        _, err = self.get(self.MODEL + "@v9", status=3)
        self.assertIn("no revision v9", err)
        for bad in ("clip", "a/b/c", "../x", "a/..", "/a/b", "a/b@", "a/b@../x", "a--b/c", "a/b c", ".a/b", "-a/b"):
            self.osprey("model", "get", "--", bad, status=2)
        self.osprey("model", "get", status=2)
        _, err = self.osprey("model", "info", self.MODEL, status=3)
        self.assertIn("osprey model get " + self.MODEL, err)

    def test_only_pickles(self):
        files = {k: v for k, v in self.files.items() if k != "model.safetensors"}
        self.world.add("some-lab/old", files)
        _, err = self.get("some-lab/old", status=3)
        self.assertIn("pytorch_model.bin", err)
        self.assertIn("some-lab/old@refs/pr/N", err)
        self.assertEqual([p for p, _ in self.hub.seen if "/resolve/" in p], [])
        adding = {"num": 3, "title": "Adding `safetensors` variant of this model", "status": "open",
                  "isPullRequest": True}
        self.world.discussions = [{"num": 1, "title": "Where are the safetensors?", "status": "open",
                                   "isPullRequest": False}, dict(adding, num=2, status="merged"), 7,
                                  dict(adding, num="4"), adding]
        _, err = self.get("some-lab/old", status=3)
        self.assertIn("osprey model get some-lab/old@refs/pr/3`", err)

    def test_another_kind_of_model_is_refused_before_its_weights_travel(self):
        self.world.add("some-lab/bert", dict(self.files, **{"config.json": b'{"model_type": "bert"}'}))
        _, err = self.get("some-lab/bert", status=3)
        self.assertIn('"bert"', err)
        self.assertEqual(self.blob_requests(), [])

    def test_weights_that_are_none(self):
        self.world.add("some-lab/broken", dict(self.files, **{"model.safetensors": b"version https://git-lfs"}))
        _, err = self.get("some-lab/broken", status=3)
        self.assertIn("broken", err)
        self.assertFalse(os.path.exists(self.folder("some-lab--broken")))

    def test_evil_names(self):
        files = checkpoint("sharded_p16_f16", 48)
        index = json.loads(files["model.safetensors.index.json"])
        for evil in ("../../../evil.safetensors", "/tmp/evil.safetensors", "sub/evil.safetensors",
                     ".hidden.safetensors", "a\\u0000b.safetensors", "model.safetensors\n", "config.json"):
            index["weight_map"][next(iter(index["weight_map"]))] = evil
            self.world.add("some-lab/evil", dict({evil: b"x" * 10}, **dict(files, **{
                "model.safetensors.index.json": json.dumps(index).encode()})))
            _, err = self.get("some-lab/evil", status=3)
            self.assertIn("no name of a file of weights", err, evil)
        self.assertEqual([f for f in os.listdir(self.models) if "evil" not in f], [])
        # Where nothing asks for them, they are just left out.
        self.world.add("some-lab/odd", dict(self.files, **{"../../evil": b"x", "/etc/evil": b"x"}))
        self.get("some-lab/odd")
        self.assert_whole(name="some-lab--odd")
        self.assertFalse(any("evil" in f for _, _, names in os.walk(self.tmp) for f in names))

    def test_listings_that_lie(self):
        def change(entry):
            def edit(answer):
                for s in answer["siblings"]:
                    if s["rfilename"] == "model.safetensors":
                        entry(s)
            return edit
        for edit, words in (
                (change(lambda s: (s.pop("lfs"), s.pop("blobId"))), "cannot be checked"),
                (change(lambda s: s["lfs"].update(sha256="../../x")), "cannot be checked"),
                (change(lambda s: (s["lfs"].pop("size"), s.pop("size"))), "cannot be checked"),
                (change(lambda s: s["lfs"].update(size=1 << 60)), "bytes"),
                (change(lambda s: s["lfs"].update(size=300 * 10**9)), "too many"),
                (lambda a: a.update(sha="../../x"), "no listing"),
                (lambda a: a.update(siblings="x"), "no listing")):
            self.world.edit = edit
            _, err = self.get(status=3)
            self.assertIn(words, err)
            self.assert_nothing()
        self.hub.faults["status"] = [(200, ())]
        _, err = self.get(status=3)
        self.assertIn("as JSON", err)

    def test_a_redirect_without_end(self):
        self.hub.faults["status"] = [(302, [("Location", "/x")])] * 50
        _, err = self.get(status=3)
        self.assertIn("redirects more than", err)
        self.hub.faults["status"] = [(302, [("Location", "file:///etc/passwd")])]
        _, err = self.get(status=3)
        self.assertIn("not followed", err)

    def test_no_network(self):
        self.hub.shutdown()
        self.hub.server_close()
        _, err = self.get(status=3)
        self.assertIn("cannot reach", err)
        self.assertIn("carried", err)
        self.assertFalse(os.path.exists(self.stage()))
        _, err = self.get(status=2, env={"HF_ENDPOINT": "ftp://x"})
        self.assertIn("HF_ENDPOINT", err)

    @unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificate")
    def test_https(self):
        key, certificate = os.path.join(self.tmp, "key"), os.path.join(self.tmp, "certificate")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                        certificate, "-days", "2", "-subj", "/CN=hub", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.hub.socket = context.wrap_socket(self.hub.socket, server_side=True)
        url = self.hub.url.replace("http:", "https:")
        _, err = self.get(status=3, env={"HF_ENDPOINT": url})
        self.assertIn("certificate", err)
        self.assertNotIn("trying again", err)
        trusting = {"HF_ENDPOINT": url, "SSL_CERT_FILE": certificate}
        _, err = self.get(status=3, env=trusting)  # the content network has no https
        self.assertIn("not followed", err)
        self.assertEqual(self.cdn.seen, [])
        self.cdn.socket = context.wrap_socket(self.cdn.socket, server_side=True)
        self.cdn.url = self.cdn.url.replace("http:", "https:")
        self.get(env=trusting)
        self.assert_whole()

    def test_a_folder_in_the_way_is_kept(self):
        os.makedirs(os.path.join(self.folder(), "mine"))
        _, err = self.get(status=3)
        self.assertIn("in the way", err)
        self.assertTrue(os.path.isdir(os.path.join(self.folder(), "mine")))
        shutil.rmtree(self.folder())
        before = len(self.blob_requests())
        self.get()
        self.assertEqual(len(self.blob_requests()), before)  # the weights were here
        self.assert_whole()


if __name__ == "__main__":
    sys.argv.append("-v")
    unittest.main()
