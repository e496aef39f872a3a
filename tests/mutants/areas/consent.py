"""Consent to the use of voices."""

CONSENT = "storycore_tts/domain/consent.py"
RECORDS = "storycore_tts/services/consents.py"
CHECK = "storycore_tts/pipeline/consent.py"
SERVICE = "storycore_tts/services/speech_service.py"
WITHDRAWING = "storycore_tts/adapters/queue/withdrawing.py"

MUTANTS = [
    (
        CONSENT,
        "if self.expires is not None and now >= self.expires:",
        "if self.expires is not None and now > self.expires.max:",
        "an expired consent holds",
        ["tests/unit/domain/test_consent.py"],
    ),
    (
        CONSENT,
        'if self.reference_sha256 not in ("", reference_sha256):',
        "if False:",
        "a copied record holds for another recording",
        ["tests/unit/services/test_consents.py"],
    ),
    (
        RECORDS,
        "return now if latest is None else max(now, latest)",
        "return now",
        "an expired consent comes back when the clock is set back",
        ["tests/unit/services/test_consents.py"],
    ),
    (
        RECORDS,
        "if given is None or one.consent_id == given.id:",
        "if given is not None and one.consent_id == given.id:",
        "a revoked recording is cloned when it is sent with the request",
        ["tests/unit/services/test_consents.py"],
    ),
    (
        RECORDS,
        "or record.evidence_sha256 == one.evidence_sha256",
        "or False",
        "a revoked voice comes back when it is stored as before",
        ["tests/unit/services/test_consents.py"],
    ),
    (
        CHECK,
        "        else:\n            await self.check(request)\n",
        "        else:\n            pass\n",
        "what was generated during a revocation is delivered",
        ["tests/unit/pipeline/test_consent.py"],
    ),
    (
        CHECK,
        "                await self.check(request)\n                yield chunk",
        "                yield chunk",
        "a stream goes on after a revocation",
        ["tests/unit/pipeline/test_consent.py"],
    ),
    (
        SERVICE,
        "                await tts.check_consent(request)  # a sentence may have waited",
        "                # a sentence may have waited",
        "a sentence that waited is delivered after a revocation",
        ["tests/unit/services/test_revoking.py"],
    ),
    (
        WITHDRAWING,
        'return given is not None and given["id"] == consent_id',
        "return True",
        "a job that only speaks of a consent's id fails with it",
        ["tests/queue/test_withdrawing.py"],
    ),
]
