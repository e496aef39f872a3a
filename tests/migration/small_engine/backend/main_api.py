"""The small engine's app."""


class App:
    """As much of an app as is needed here."""

    def __init__(self):
        self.included = []

    def include_router(self, router, prefix=""):
        self.included.append(router)


VIDEO_EDITOR_ROUTER = "the engine's own"
PROJECTS = "another one"

api = App()
api.include_router(PROJECTS)

# Include the video editor
api.include_router(
    VIDEO_EDITOR_ROUTER,
    prefix="",
)
api.include_router("the last one")
