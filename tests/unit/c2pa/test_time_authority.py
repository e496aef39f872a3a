"""Time authorities: one that answers, and those that fail."""

import logging
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from storycore_tts.adapters.c2pa.reader import read_manifest
from storycore_tts.adapters.c2pa.signer import C2paSigner
from storycore_tts.adapters.c2pa.time_authority import TimeAuthority
from storycore_tts.errors import MarkingFailed
from storycore_tts.services.marking import Marking, MarkingPolicy

SETTINGS = """
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
certs = ca.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
authorityKeyIdentifier = keyid
[req]
distinguished_name = name
[name]
"""


@contextmanager
def serving(answer):
    """Serve an authority that answers requests with the status and the bytes of ``answer``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            status, data = answer(asked)
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/tsr"
        server.shutdown()
        thread.join()


@pytest.fixture
def answering(tmp_path):
    """Answers as a time authority does, by means of openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")

    def run(*arguments):
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "tsa.cnf").write_text(SETTINGS)
    (tmp_path / "serial").write_text("01")
    new = ("req", "-config", "tsa.cnf", "-newkey", "rsa:2048", "-nodes")
    run(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=R", "-extensions", "ca")
    run(*new, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/O=Clocks/CN=Authority")
    run(
        *("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-set_serial", "2", "-out", "tsa.pem", "-extfile", "tsa.cnf", "-extensions", "leaf"),
    )

    def answer(asked):
        (tmp_path / "asked").write_bytes(asked)
        run("ts", "-reply", "-queryfile", "asked", "-out", "given", "-config", "tsa.cnf")
        return 200, (tmp_path / "given").read_bytes()

    return answer


@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
def test_the_time_is_in_the_manifest(own, speech, answering, suffix):
    with serving(answering) as url:
        signer = C2paSigner(own, authority=TimeAuthority(url, patience=60), time_required=True)
        data = Marking(MarkingPolicy(strict=True), signer=signer).encode(speech, suffix)
    manifest = read_manifest(data, suffix)
    assert manifest.valid
    assert manifest.signed_at.startswith("20")


@contextmanager
def hanging():
    """Accept requests and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/tsr"


@contextmanager
def absent():
    """Listen on no port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/tsr"
    yield url


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        (hanging, "no answer within 0.2 s"),
        (absent, "error sending request"),
        (lambda: serving(lambda asked: (500, b"")), "status = 500"),
        (lambda: serving(lambda asked: (200, b"nonsense")), "confirmed no signature"),
    ],
)
def test_one_that_fails_is_a_typed_error_or_a_warning(own, speech, caplog, failing, said):
    own()
    with failing() as url:

        def marking(required):
            patience = 0.2 if failing is hanging else 60
            authority = TimeAuthority(url, patience=patience)
            signer = C2paSigner(own, authority=authority, time_required=required)
            return Marking(MarkingPolicy(strict=required), signer=signer)

        with pytest.raises(MarkingFailed, match=said) as caught:
            marking(required=True).encode(speech, ".wav")
        assert "time_authority" in caught.value.hint
        with caplog.at_level(logging.WARNING):
            data = marking(required=False).encode(speech, ".wav")
    assert "marking.time_unconfirmed" in caplog.text
    manifest = read_manifest(data)
    assert manifest.valid
    assert manifest.signed_at == ""


def test_one_that_failed_is_left_alone_for_a_minute():
    times, asked = [100.0], []

    def sign():
        asked.append(times[-1])
        if len(asked) == 1:
            raise MarkingFailed("It is down")
        return b"signed"

    authority = TimeAuthority("http://clock", patience=60, clock=lambda: times[-1])
    for now in (100.0, 130.0, 159.0):
        times.append(now)
        with pytest.raises(MarkingFailed, match=r"http://clock confirmed no signature: It is down"):
            authority.signed(sign)
    times.append(161.0)
    assert authority.signed(sign) == b"signed"
    assert authority.signed(sign) == b"signed"
    assert asked == [100.0, 161.0, 161.0]
