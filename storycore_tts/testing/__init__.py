"""Test tools for other projects.

* ``storycore_tts.testing.comfyui``: a stand-in for ComfyUI on a real socket, with scripted faults.
* ``storycore_tts.testing.proxy``: a TCP proxy with scripted connection faults.
* ``storycore_tts.testing.contract``: the test suite that adapters subclass.
* ``storycore_tts.testing.service``: the service on a real socket, in a thread.
* ``storycore_tts.testing.service_process``: the same in a process, which can be killed.
* ``storycore_tts.testing.event_loop``: detection of calls that block the event loop.
* ``storycore_tts.testing.tiny_models``: random Qwen3-TTS checkpoints that ``qwen_tts`` runs.
* ``storycore_tts.testing.pytest_plugin``: pytest fixtures, which are found automatically.

Nothing is imported here. Requires the extra ``storycore-tts[testing]``.
"""
