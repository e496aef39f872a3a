"""The small engine's app."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.projects_api import PROJECTS
from backend.video_editor_api import VIDEO_EDITOR_ROUTER
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

Path("output").mkdir(exist_ok=True)
api = FastAPI()
api.include_router(PROJECTS, prefix="/api")

# Include the video editor
api.include_router(
    VIDEO_EDITOR_ROUTER,
    prefix="",
)
api.mount("/output", StaticFiles(directory="output"))


@api.get("/health")
def health():
    return "the app's"
