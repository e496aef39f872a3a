"""Speech for films."""


class QwenTTSService:
    """Speaks through ComfyUI."""

    def __init__(self, comfyui_url="http://127.0.0.1:8188"):
        self.comfyui_url = comfyui_url


def create_qwen_tts_service():
    return QwenTTSService()
