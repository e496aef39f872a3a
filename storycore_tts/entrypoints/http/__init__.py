"""The HTTP service, as an app or as a router for another app."""

from __future__ import annotations

from storycore_tts.entrypoints.http.app import create_app, create_router

__all__ = ["create_app", "create_router"]
