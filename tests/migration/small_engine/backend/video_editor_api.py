"""The video editor's routes: no token is asked for, and speech is not spoken."""

from fastapi import APIRouter

VIDEO_EDITOR_ROUTER = APIRouter(prefix="/api/video-editor")


@VIDEO_EDITOR_ROUTER.get("/health")
def health():
    return "the editor's"


@VIDEO_EDITOR_ROUTER.post("/ai/tts")
def text_to_speech():
    return {"job_id": "1", "status": "pending", "audio_path": None}
