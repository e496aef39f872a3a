"""``/v1/models``: the backends, as values for ``model``."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path

from storycore_tts.entrypoints.http.documented import documented
from storycore_tts.entrypoints.http.openai.errors import ListRoute
from storycore_tts.entrypoints.http.problems import Refused
from storycore_tts.entrypoints.http.schemas import View, by_example
from storycore_tts.entrypoints.http.security.keys import CurrentOwner
from storycore_tts.entrypoints.http.service import CurrentService
from storycore_tts.services.speech_service import SpeechService
from storycore_tts.settings import adapter_names

router = APIRouter(prefix="/v1", tags=["openai"], route_class=ListRoute)

ModelName = Annotated[str, Path(description="Id of the model; see /v1/models.")]

USUAL = "qwen3-tts"
_OURS = "storycore-tts"
# Names sent by clients of OpenAI or other servers, and the name of the model on the Hub.
_MEANING_USUAL = ("tts-1", "gpt-4o-mini-tts", "kokoro", "chatterbox", USUAL, f"qwen/{USUAL}")


_A_MODEL = {"id": USUAL, "object": "model", "created": 0, "owned_by": _OURS}


class ModelView(View):
    """A model."""

    model_config = by_example(_A_MODEL)

    id: str
    """Value for `model`."""
    object: str = "model"
    """Always `model`."""
    created: int = 0
    """Always 0."""
    owned_by: str = _OURS
    """Always this package."""


class ModelList(View):
    """A list of models."""

    model_config = by_example({"object": "list", "data": [_A_MODEL]})

    object: str = "list"
    """Always `list`."""
    data: list[ModelView]
    """The models."""


class ModelNames(View):
    """A list of model names."""

    model_config = by_example({"models": [{"id": USUAL}]})

    models: list[dict[str, str]]
    """The models, by id."""


def backend_of(model: str | None, speech_service: SpeechService) -> str | None:
    """Return the backend that a model name refers to; None for the default backend.

    Many clients send a fixed model name. Unknown names therefore refer to the default backend, too.

    Args:
        model: The name sent by the client.
        speech_service: Provides the available backends.

    Raises:
        Refused: The name is that of a backend that this service does not offer (404).
    """
    if not model or model in speech_service.backends:
        return model or None
    if model in _installed():
        hint = "The operator of the service can add it to tts.qwen.server.backends."
        raise _unknown(speech_service, hint=hint)
    return None


@cache
def _installed() -> frozenset[str]:
    """Return the names of installed adapters; cached, since a lookup reads all package metadata."""
    return frozenset(adapter_names())


def is_known(model: str | None, speech_service: SpeechService) -> bool:
    """Return whether a model name is known to this service."""
    return (
        not model or model in speech_service.backends or model.casefold().startswith(_MEANING_USUAL)
    )


@router.get("/models", response_description="The models.", responses=documented())
async def models(service: CurrentService, owner: CurrentOwner) -> ModelList:
    """List the models: ``qwen3-tts`` for the default backend, and each backend by name."""
    return ModelList(data=[ModelView(id=name) for name in _names(service.speech)])


@router.get(
    "/models/{model:path}",
    response_description="The model.",
    responses=documented(HTTPStatus.NOT_FOUND),
)
async def model(model: ModelName, service: CurrentService, owner: CurrentOwner) -> ModelView:
    """Describe a model."""
    if not is_known(model, service.speech):
        raise _unknown(service.speech)
    return ModelView(id=model)


@router.get("/audio/models", response_description="The models.", responses=documented())
async def speech_models(service: CurrentService, owner: CurrentOwner) -> ModelNames:
    """List the model names in the format of Open WebUI and TTS WebUI."""
    return ModelNames(models=[{"id": name} for name in _names(service.speech)])


def _names(speech_service: SpeechService) -> list[str]:
    return [USUAL, *speech_service.backends]


def _unknown(speech_service: SpeechService, hint: str = "") -> Refused:
    hint = f"Models: {', '.join(_names(speech_service))}. {hint}".strip()
    return Refused(HTTPStatus.NOT_FOUND, "There is no such model.", hint=hint)
