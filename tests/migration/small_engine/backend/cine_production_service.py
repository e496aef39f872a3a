"""Films: a character speaks under its id."""


async def speak(comfyui_url, text, character_id=None, tone=None):
    from backend.qwen_tts_service import QwenTTSService

    service = QwenTTSService(comfyui_url=comfyui_url)
    voice = character_id or "Ryan"
    result = await service.text_to_speech(text=text, voice=voice, instruct=tone or "neutral")
    if not result.success:
        raise RuntimeError(result.error_message)
    return result.audio_path
