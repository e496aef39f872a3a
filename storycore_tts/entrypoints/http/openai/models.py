"""``/v1/models``: the backends, under names that clients may send as ``model``."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from pydantic import BaseModel

from storycore_tts.entrypoints.http.openai.errors import OpenAIRoute
from storycore_tts.entrypoints.http.problems import Refused, documented
from storycore_tts.entrypoints.http.schemas import by_example
from storycore_tts.entrypoints.http.security.keys import CurrentOwner
from storycore_tts.entrypoints.http.service import CurrentService
from storycore_tts.services.studio import Studio

router = APIRouter(prefix="/v1/models", tags=["openai"], route_class=OpenAIRoute)

USUAL = "qwen3-tts"
_OURS = "storycore-tts"
# What clients send who were made for OpenAI, or for the model's own name on the Hub.
_MEANING_USUAL = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "Qwen/Qwen3-TTS-")


_A_MODEL = {"id": USUAL, "object": "model", "created": 0, "owned_by": _OURS}


class ModelView(BaseModel):
    """Something that speaks."""

    model_config = by_example(_A_MODEL)

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = _OURS


class ModelList(BaseModel):
    """All that speak."""

    model_config = by_example({"object": "list", "data": [_A_MODEL]})

    object: str = "list"
    data: list[ModelView]


def backend_of(model: str | None, studio: Studio) -> str | None:
    """Return the backend that a model's name stands for; None for the usual one.

    Raises:
        Refused: It stands for none (404).
    """
    if model is None or model == USUAL or model.startswith(_MEANING_USUAL):
        return None
    if model in studio.backends:
        return model
    known = ", ".join([USUAL, *studio.backends])
    raise Refused(HTTPStatus.NOT_FOUND, "There is no such model.", hint=f"Models: {known}.")


@router.get("", response_description="The models.", responses=documented())
async def models(service: CurrentService, owner: CurrentOwner) -> ModelList:
    """List the models: ``qwen3-tts`` for the usual backend, and each backend by its name."""
    return ModelList(data=[ModelView(id=name) for name in (USUAL, *service.studio.backends)])


@router.get(
    "/{model:path}",
    response_description="The model.",
    responses=documented(HTTPStatus.NOT_FOUND),
)
async def model(model: str, service: CurrentService, owner: CurrentOwner) -> ModelView:
    """Describe a model."""
    backend_of(model, service.studio)
    return ModelView(id=model)
