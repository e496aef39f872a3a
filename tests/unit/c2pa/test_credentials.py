"""Keys: made at first use, shared by threads and processes, renewed; and those of a company."""

import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from storycore_tts.adapters import c2pa
from storycore_tts.adapters.c2pa.credentials import OwnCredentials, parsed
from storycore_tts.adapters.c2pa.own_certificate import made
from storycore_tts.adapters.c2pa.reader import read_manifest
from storycore_tts.adapters.c2pa.signer import C2paSigner
from storycore_tts.container import Container
from storycore_tts.errors import ConfigurationError, MarkingFailed
from storycore_tts.settings import QwenTTSConfig
from storycore_tts.settings.marking import MarkingConfig

NOW = datetime(2027, 1, 1, tzinfo=timezone.utc)
ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="the mode of files means less there")


@ON_POSIX
def test_only_its_owner_can_read_the_key(own):
    own.file.parent.mkdir(parents=True, mode=0o755)
    own()
    assert own.file.stat().st_mode & 0o777 == 0o600
    assert own.file.parent.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in own.file.parent.iterdir()} == {"own.pem", "lock"}


def test_the_key_is_kept(own):
    first = own()
    assert OwnCredentials(own.file.parent)() == first
    assert first.algorithm == "es256"
    assert "PRIVATE KEY" not in repr(first)


def test_threads_make_one_key(own):
    start = threading.Barrier(6)

    def key(_):
        start.wait()
        return OwnCredentials(own.file.parent)().key

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(key, range(6)))) == 1


MAKES_A_KEY = """
import sys
from pathlib import Path
from storycore_tts.adapters.c2pa.credentials import OwnCredentials
own = OwnCredentials(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(own().subject)
"""


def test_two_processes_make_one_key(own):
    command = [sys.executable, "-c", MAKES_A_KEY, str(own.file.parent)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        for process in (one, other):
            assert process.stdout.readline() == "ready\n"
        for process in (one, other):
            process.stdin.write("\n")
            process.stdin.flush()
        subjects = {process.stdout.readline().strip() for process in (one, other)}
    assert subjects == {own().subject}


def test_the_key_is_renewed_long_before_it_expires(own):
    times = [NOW]
    credentials = OwnCredentials(own.file.parent, now=lambda: times[-1])
    first = credentials()
    times.append(NOW + timedelta(days=4 * 365))
    assert credentials() == first
    times.append(NOW + timedelta(days=6 * 365))
    second = credentials()
    assert second.key != first.key
    assert second.expires > times[-1] + timedelta(days=9 * 365)
    assert OwnCredentials(own.file.parent, now=lambda: times[-1])() == second


def test_a_damaged_key_is_named(own):
    own()
    own.file.write_text("nonsense")
    with pytest.raises(MarkingFailed, match=r"own\.pem, is damaged.*Delete the file"):
        OwnCredentials(own.file.parent)()


def test_a_folder_that_cannot_be_made_is_named(own):
    own.file.parent.parent.write_text("a file in its place")
    with pytest.raises(MarkingFailed, match=r"cannot be kept in .*marking\.sign: off"):
        own()


def test_names_in_the_certificate_tell_nothing_of_the_machine(own):
    credentials = own()
    assert credentials.subject.startswith("CN=Key ")
    assert platform.node() not in credentials.subject


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "es384"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (rsa.generate_private_key(65537, 2048), "ps256"),
    ],
)
def test_files_are_signed_with_every_kind_of_key(speech, file_of, tags_of, key, algorithm):
    credentials = parsed(*_certified(key))
    assert credentials.algorithm == algorithm
    tags = tags_of(speech)
    data = C2paSigner(lambda: credentials).sign(file_of(".wav", tags), ".wav", speech, tags)
    assert read_manifest(data).valid


def _certified(key):
    """Return a certificate for a key, and the key, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    pem = serialization.Encoding.PEM
    authority = ec.generate_private_key(ec.SECP256R1())
    template = x509.load_pem_x509_certificates(made(datetime.now(timezone.utc)))[0]
    builder = x509.CertificateBuilder(
        template.issuer, template.subject, key.public_key(), template.serial_number,
        template.not_valid_before_utc, template.not_valid_after_utc, list(template.extensions),
    )  # fmt: skip
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return builder.sign(authority, hashes.SHA256()).public_bytes(pem), private


def _config(certificate, private_key, **others):
    return MarkingConfig(certificate=certificate, private_key=private_key, **others)


def _create(config, folder):
    return c2pa.create(config, folder=folder)


def test_a_companys_certificate_signs(company, speech, file_of, tags_of, tmp_path):
    signer = _create(_config(*company()), tmp_path / "unused")
    tags = tags_of(speech)
    manifest = read_manifest(signer.sign(file_of(".wav", tags), ".wav", speech, tags))
    assert manifest.valid
    assert manifest.signed_by == "Jane Doe (Example Ltd)"
    assert manifest.issuer == "Root 1 (Example Trust)"
    assert not (tmp_path / "unused").exists()


def test_one_file_may_hold_certificate_and_key(company, tmp_path):
    certificate, private_key = company()
    both = tmp_path / "both.pem"
    both.write_bytes(Path(private_key).read_bytes() + Path(certificate).read_bytes())
    assert _create(_config(str(both), str(both)), tmp_path) is not None


@pytest.mark.parametrize(
    ("made_with", "said"),
    [
        ({"days": (-10, -1)}, "certificate: The certificate of .*Jane Doe.* expired on"),
        ({"days": (2, 9)}, "is not valid before"),
        ({"key_of": ec.generate_private_key(ec.SECP256R1())}, "key does not belong to the first"),
        ({"key_of": dsa.generate_private_key(2048)}, "the key does not belong"),
        ({"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "cannot sign.*certificate is invalid"),
    ],
)
def test_a_certificate_that_cannot_sign_is_refused_at_the_start(company, tmp_path, made_with, said):
    with pytest.raises(ConfigurationError, match=said):
        _create(_config(*company(**made_with)), tmp_path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda pem, key: pem.unlink(), r"marking\.certificate: .*company\.pem cannot be read: No"),
        (lambda pem, key: key.unlink(), r"marking\.private_key: .*company\.key cannot be read"),
        (lambda pem, key: pem.write_text("-"), r"company\.pem: it contains no certificate in PEM"),
        (lambda pem, key: key.write_text("-"), r"company\.key: it contains no private key in PEM"),
        (lambda pem, key: _encrypt(key), r"company\.key: the key is encrypted"),
    ],
)
def test_files_that_cannot_be_used_are_named(company, tmp_path, spoil, said):
    names = company()
    spoil(tmp_path / "company.pem", tmp_path / "company.key")
    with pytest.raises(ConfigurationError, match=said):
        _create(_config(*names), tmp_path)


def _encrypt(file):
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def test_a_certificate_that_expires_meanwhile_is_said(own, speech, file_of, tags_of):
    credentials = own()
    later = credentials.expires + timedelta(seconds=1)
    signer = C2paSigner(lambda: credentials, now=lambda: later)
    tags = tags_of(speech)
    with pytest.raises(MarkingFailed, match=r"expired on .* cannot be signed"):
        signer.sign(file_of(".wav", tags), ".wav", speech, tags)


@pytest.mark.parametrize("config", [{"sign": "off"}, {"off_because": "tests of the mark itself"}])
def test_signing_is_off_where_the_settings_say_so(config, tmp_path):
    config = MarkingConfig(**config)
    assert _create(config, tmp_path) is None
    assert not c2pa.state(config, folder=tmp_path).signs


def test_yaml_reads_off_as_false():
    assert MarkingConfig(sign=False).sign == "off"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"certificate": "a.pem"}, "private_key cannot be None.*together with certificate"),
        ({"private_key": "a.key"}, "private_key cannot be 'a.key'.*together with certificate"),
        ({"time_authority": "timestamp.example"}, "must begin with http://"),
        ({"sign": "never"}, "one of auto, required, off"),
    ],
)
def test_settings_that_contradict_are_refused(values, said):
    with pytest.raises(ConfigurationError, match=said):
        MarkingConfig(**values)


def test_nothing_is_spoken_if_the_certificate_cannot_be_used(company):
    certificate, private_key = company(days=(-9, -1))
    marking = {"certificate": certificate, "private_key": private_key}
    config = QwenTTSConfig(backend="draft", marking=marking)
    with pytest.raises(ConfigurationError, match="expired on"):
        Container(config=config).service()


class TestWithoutTheExtra:
    @pytest.fixture(autouse=True)
    def _no_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "c2pa", None)

    def test_auto_does_not_sign(self, tmp_path):
        assert _create(MarkingConfig(), tmp_path) is None
        state = c2pa.state(MarkingConfig(), folder=tmp_path)
        assert not state.signs
        assert "pip install 'storycore-tts[trust]'" in state.sentence

    @pytest.mark.parametrize(
        "values", [{"sign": "required"}, {"certificate": "a.pem", "private_key": "a.key"}]
    )
    def test_what_was_asked_for_is_an_error_with_the_line_that_installs_it(self, tmp_path, values):
        with pytest.raises(ConfigurationError, match=r"pip install 'storycore-tts\[trust\]'"):
            _create(MarkingConfig(**values), tmp_path)

    def test_reading_says_so_too(self):
        with pytest.raises(ConfigurationError, match=r"pip install 'storycore-tts\[trust\]'"):
            read_manifest(b"RIFF")


def test_c2pa_is_loaded_when_the_first_file_is_signed():
    """A client that saves nothing does not wait for a library of 16 MB."""
    code = (
        "import sys; from storycore_tts import QwenTTSConfig; "
        "from storycore_tts.container import Container; "
        "Container(config=QwenTTSConfig(backend='draft')).service(); "
        "print({'c2pa', 'cryptography'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_state_names_the_key_and_its_end(own, company, tmp_path):
    folder = own.file.parent
    before = c2pa.state(MarkingConfig(), folder=folder)
    assert before.signs
    assert "made for the first file" in before.sentence
    assert not folder.exists()
    credentials = own()
    after = c2pa.state(MarkingConfig(), folder=folder)
    assert after.subject == credentials.subject
    assert after.expires[:10] in after.sentence
    theirs = c2pa.state(_config(*company()), folder=folder)
    assert "the configured certificate, CN=Jane Doe" in theirs.sentence
    expired = c2pa.state(_config(*company(days=(-9, -1))), folder=folder)
    assert not expired.signs
    assert "expired on" in expired.sentence
