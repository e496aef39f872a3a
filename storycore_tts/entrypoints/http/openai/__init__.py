"""Endpoints compatible with OpenAI's speech API and vLLM-Omni's additions."""

from __future__ import annotations

from fastapi import APIRouter

from storycore_tts.entrypoints.http.openai import models, speech, voices

router = APIRouter()
for _part in (speech.router, voices.router, voices.lists, models.router):
    router.include_router(_part)
