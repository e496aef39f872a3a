"""What other projects test with: a stand-in ComfyUI, a faulty network, models, the contract.

* ``storycore_tts.testing.comfyui``: ComfyUI on a real socket, with voices and scripted faults.
* ``storycore_tts.testing.proxy``: a TCP proxy that breaks connections as a script says.
* ``storycore_tts.testing.contract``: the test suite that an adapter subclasses.
* ``storycore_tts.testing.service``: the service on a real socket, in a thread.
* ``storycore_tts.testing.service_process``: the same in a process, which can be killed.
* ``storycore_tts.testing.event_loop``: whether a call leaves the event loop to others.
* ``storycore_tts.testing.tiny_models``: random Qwen3-TTS checkpoints that ``qwen_tts`` runs.
* ``storycore_tts.testing.pytest_plugin``: the fixtures; pytest finds them by itself.

Nothing is imported here; the extra is ``storycore-tts[testing]``.
"""
