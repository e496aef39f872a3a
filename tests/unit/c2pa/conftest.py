"""Speech, what signs it, and certificates of every kind."""

import io
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from storycore_tts.adapters.c2pa.credentials import OwnCredentials
from storycore_tts.adapters.c2pa.signer import C2paSigner
from storycore_tts.domain.speech import Speech
from storycore_tts.services.marking import Marking
from storycore_tts.sound.files import encode
from storycore_tts.sound.tags import Tags

PEM = serialization.Encoding.PEM


@pytest.fixture
def speech(tone):
    return Speech(tone(), 24_000, "direct", "Qwen3-TTS-12Hz-1.7B", "Ryan", job_id="job-7")


@pytest.fixture
def own(tmp_path):
    """A key of one's own, in a new folder."""
    return OwnCredentials(tmp_path / "data" / "signing")


@pytest.fixture
def signer(own):
    return C2paSigner(own)


@pytest.fixture
def file_of(speech):
    """Makes the file of the speech, with tags and without a signature."""

    def made(suffix, tags=None):
        if suffix != ".m4a":
            return encode(speech.samples, speech.sample_rate, suffix, tags=tags)
        av = pytest.importorskip("av")
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="ipod") as file:
            stream = file.add_stream("aac", rate=speech.sample_rate, layout="mono")
            file.metadata["comment"] = tags.comment if tags else ""
            frame = av.AudioFrame.from_ndarray(speech.samples[None, :], "fltp", "mono")
            frame.sample_rate = speech.sample_rate
            for one in (frame, None):
                file.mux(stream.encode(one))
        return buffer.getvalue()

    return made


@pytest.fixture
def tags_of():
    """Makes the tags of speech."""

    def made(speech) -> Tags:
        tags = Marking().tags(speech)
        assert tags is not None
        return tags

    return made


@pytest.fixture
def signed(signer, speech, file_of, tags_of):
    """Makes the signed file of the speech."""

    def made(suffix, speech=speech):
        tags = tags_of(speech)
        return signer.sign(file_of(suffix, tags), suffix, speech, tags)

    return made


def av_samples(data):
    """Return the samples that FFmpeg decodes, and the tags that it reads."""
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(data)) as file:
        samples = [frame.to_ndarray().ravel() for frame in file.decode(audio=0)]
        return np.concatenate(samples), dict(file.metadata)


@pytest.fixture
def company(tmp_path):
    """Makes a company's certificate and key as two PEM files, and returns their paths."""

    def made(*, days=(-1, 30), purpose=ExtendedKeyUsageOID.EMAIL_PROTECTION, key_of=None):
        authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        usage = [False] * 9
        builder = _builder("Jane Doe", "Example Ltd", days).public_key(key.public_key())
        leaf = (
            builder.add_extension(x509.KeyUsage(True, *usage[1:]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False
            )
            .sign(authority, hashes.SHA256())
        )
        certificate, private_key = tmp_path / "company.pem", tmp_path / "company.key"
        certificate.write_bytes(leaf.public_bytes(PEM))
        key = key_of or key
        private_key.write_bytes(
            key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return str(certificate), str(private_key)

    return made


def _builder(name, organization, days):
    now = datetime.now(timezone.utc)
    parts = [(NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, name)]
    issuer = [(NameOID.ORGANIZATION_NAME, "Example Trust"), (NameOID.COMMON_NAME, "Root 1")]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(*part) for part in parts]))
        .issuer_name(x509.Name([x509.NameAttribute(*part) for part in issuer]))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
