"""Routes of the small engine's video editor."""


class APIRouter:
    """As much of a router as is needed here."""

    def __init__(self, prefix=""):
        self.prefix = prefix
        self.included = []

    def include_router(self, router):
        self.included.append(router)


VIDEO_EDITOR_ROUTER = APIRouter(
    prefix="/api/video-editor",
)

SECRET = "of the engine"
