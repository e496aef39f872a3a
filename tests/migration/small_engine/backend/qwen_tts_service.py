"""Speech for films, through a client that lacks a module."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from qwen_tts_comfyui.workflows import BUILDERS

from qwen_tts_comfyui import QwenTTSComfyUIClient


class QwenTTSService:
    """Speaks through ComfyUI."""

    def __init__(self, comfyui_url="http://127.0.0.1:8188"):
        self.client = QwenTTSComfyUIClient(comfyui_url, BUILDERS)


def create_qwen_tts_service(comfyui_url="http://127.0.0.1:8188"):
    return QwenTTSService(comfyui_url)


def example():
    """Shows how."""
