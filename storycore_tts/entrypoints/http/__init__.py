"""The service over HTTP: an app of its own, or a router for another one's."""

from __future__ import annotations

from storycore_tts.entrypoints.http.app import create_app, create_router

__all__ = ["create_app", "create_router"]
