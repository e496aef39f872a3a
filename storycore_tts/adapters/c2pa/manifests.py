"""What a C2PA manifest says of generated speech."""

from __future__ import annotations

from typing import Any

from storycore_tts.domain.requests import CloneRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.sound.tags import Tags

AI_DISCLOSURE = "c2pa.ai-disclosure"
"""C2PA 2.4, section 18.29: the model that made something."""


def manifest_of(speech: Speech, tags: Tags) -> dict[str, Any]:
    """Return the manifest of a sound file, as c2pa takes it.

    It contains what the tags say, and nothing else of the text or of the voice; of the recordings
    of cloned voices, that of a spoken notice included, their SHA-256.

    Args:
        speech: What is in the file.
        tags: What the file says of itself.
    """
    name, _, version = tags.generator.partition("/")
    created: dict[str, Any] = {
        "action": "c2pa.created",
        "when": tags.created,
        "digitalSourceType": tags.source_uri,
        "description": tags.comment,
    }
    assertions = [_signed("c2pa.actions.v2", {"actions": [created]})]
    if tags.source_type == "trainedAlgorithmicMedia":
        model = dict(tags.facts).get("model")  # not the speech's: that may be a folder of the user
        name_of_it = {"modelName": model} if model else {}
        disclosure = {"modelType": "c2pa.types.model", **name_of_it}
        assertions.append(_signed(AI_DISCLOSURE, disclosure))
    manifest: dict[str, Any] = {
        "claim_generator_info": [{"name": name, "version": version}],
        "assertions": assertions,
    }
    requests = (speech.request, speech.notice and speech.notice.request)
    clones = {one.reference.sha256 for one in requests if isinstance(one, CloneRequest)}
    if clones:
        ingredients = [_ingredient(number, one) for number, one in enumerate(sorted(clones))]
        manifest["ingredients"] = ingredients
        created["parameters"] = {"ingredientIds": [one["label"] for one in ingredients]}
    return manifest


def _signed(label: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return an assertion that the signer vouches for, not one that it only gathered."""
    return {"label": label, "data": data, "created": True}


def _ingredient(number: int, reference_sha256: str) -> dict[str, Any]:
    return {
        "label": f"reference{number or ''}",
        "title": "Recording of the cloned voice",
        "description": "Known by the SHA-256 of its samples; the recording is not included.",
        "relationship": "inputTo",
        "instance_id": f"sha256:{reference_sha256}",
    }
