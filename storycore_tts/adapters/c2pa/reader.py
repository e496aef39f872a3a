"""Reads the C2PA manifest of a sound file, of any program: who signed it, and changed since?"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from storycore_tts.adapters.c2pa.package import c2pa_package
from storycore_tts.ports.inspecting import Manifest, ManifestProblem

_CHANGED = {
    "assertion.dataHash.mismatch": "The sound was changed after it was signed.",
    "assertion.bmffHash.mismatch": "The sound was changed after it was signed.",
    "assertion.boxesHash.mismatch": "The sound was changed after it was signed.",
    "assertion.hashedURI.mismatch": "A statement in the manifest was changed after it was signed.",
    "claimSignature.mismatch": "The signature does not match the manifest.",
}
_SENTENCES = {
    **_CHANGED,
    "signingCredential.untrusted": (
        "The signer's certificate is not on a list of trusted authorities: the signature shows "
        "whether the file was changed, not who made it."
    ),
    "signingCredential.expired": "The signer's certificate had expired.",
    "signingCredential.invalid": "The signer's certificate is not fit for signing files.",
    "signingCredential.revoked": "The signer's certificate was revoked.",
    "claimSignature.outsideValidity": "It was signed before or after its certificate was valid.",
    "claimSignature.missing": "The manifest has no signature.",
    "assertion.missing": "A statement is missing from the manifest.",
    "timeStamp.mismatch": "The time stamp belongs to something else.",
    "timeStamp.untrusted": "The time authority is not on a list of trusted ones.",
    "timeStamp.outsideValidity": "The time authority's certificate was not valid at that time.",
    "timeStamp.malformed": "The time stamp cannot be read.",
}
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def read_manifest(data: bytes, suffix: str = "", *, authorities: str = "") -> Manifest | None:
    """Read and verify the manifest in a sound file; None if there is none. Blocks.

    Nothing is fetched from the network. c2pa reads wav, flac, mp3 and m4a; other sound files,
    such as ogg and opus, cannot hold a manifest.

    Args:
        data: The file, of any program; it may be damaged or no sound file at all.
        suffix: Its suffix, such as ".wav"; "": found out from the file.
        authorities: Certificates in PEM of authorities that are trusted; "": none is.

    Raises:
        ConfigurationError: The extra ``trust`` is not installed.
    """
    c2pa = c2pa_package()
    settings: dict[str, Any] = dict(_OFFLINE)
    if authorities:
        settings["trust"] = {"trust_anchors": authorities}
    with c2pa.Context.from_dict(settings) as context:
        try:
            reader = c2pa.Reader.try_create(
                suffix.removeprefix(".") or None, io.BytesIO(data), context=context
            )
        except c2pa.C2paError as error:
            return _unreadable(data, str(error))
        if reader is None:
            return None
        with reader:
            return _manifest(json.loads(reader.json()), json.loads(reader.crjson()))


def _unreadable(data: bytes, reason: str) -> Manifest | None:
    """Return what is known of a manifest that c2pa refused; None if there is none."""
    if reason.startswith("Remote"):
        where = reason.rpartition(" ")[2]
        problem = ManifestProblem(
            "manifest.remote", f"The manifest is not in the file, but at {where}."
        )
    elif b"jumb" in data and b"c2pa" in data:
        said = reason.partition(": ")[2] or reason  # without the name of the error's class
        problem = ManifestProblem(
            "manifest.unreadable", f"The file or its manifest is damaged: {said}."
        )
    else:
        return None
    return Manifest(valid=False, trusted=False, changed=None, problems=(problem,))


def _manifest(store: Mapping[str, Any], report: Mapping[str, Any]) -> Manifest:
    label, state = store.get("active_manifest"), store.get("validation_state")
    active = store.get("manifests", {}).get(label, {})
    details = [one for one in report.get("manifests", ()) if one.get("label") == label]
    certificate = details[0].get("signature", {}).get("certificateInfo", {}) if details else {}
    failures = store.get("validation_results", {}).get("activeManifest", {}).get("failure", ())
    assertions = {one["label"]: one.get("data") for one in active.get("assertions", ())}
    actions = list(_actions(assertions))
    info = (active.get("claim_generator_info") or [{}])[0]
    disclosure = assertions.get("c2pa.ai-disclosure")
    return Manifest(
        valid=state in ("Valid", "Trusted"),
        trusted=state == "Trusted",
        changed=any(failure["code"] in _CHANGED for failure in failures),
        signed_by=_name(certificate.get("subject", {})),
        issuer=_name(certificate.get("issuer", {})),
        signed_at=active.get("signature_info", {}).get("time", ""),
        generator="/".join(info[key] for key in ("name", "version") if info.get(key)),
        source_type=_first(actions, "digitalSourceType"),
        created=_first(actions, "when"),
        model=str(disclosure.get("modelName", "")) if isinstance(disclosure, dict) else "",
        actions=tuple(str(action.get("action", "")) for action in actions),
        ingredients=tuple(_ingredient(one) for one in active.get("ingredients") or ()),
        assertions=assertions,
        problems=tuple(_problem(failure) for failure in failures),
    )


def _actions(assertions: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for label, data in assertions.items():
        if label.startswith("c2pa.actions") and isinstance(data, dict):
            yield from (one for one in data.get("actions", ()) if isinstance(one, dict))


def _first(actions: list[dict[str, Any]], key: str) -> str:
    return next((str(action[key]) for action in actions if action.get(key)), "")


def _ingredient(ingredient: Mapping[str, Any]) -> str:
    parts = (ingredient.get(key) for key in ("title", "instance_id"))
    return f"{ingredient.get('relationship')}: {', '.join(str(part) for part in parts if part)}"


def _name(parts: Mapping[str, Any]) -> str:
    """Return a name in a certificate as text: "Common name (organization)"."""
    common, organization = str(parts.get("CN", "")), str(parts.get("O", ""))
    return f"{common} ({organization})" if common and organization else common or organization


def _problem(failure: Mapping[str, Any]) -> ManifestProblem:
    code = str(failure["code"])
    said = str(failure.get("explanation") or code)
    return ManifestProblem(code, _SENTENCES.get(code) or f"{said[:1].upper()}{said[1:]}.")
