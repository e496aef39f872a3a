"""The engine's surfaces: the client, the engine's services, and the old classes."""

LEGACY = "tests/legacy/test_integration.py"
EDITOR = "tests/storycore/test_editor.py"
PRODUCTION = "tests/storycore/test_production.py"

MUTANTS = [
    (
        "storycore_tts/entrypoints/legacy/blocking.py",
        '        raise BackendUnavailable("It was closed in mid-call.", retryable=False) from None',
        "        raise",
        "a call that another thread cuts off by closing raises an untyped error",
        [LEGACY],
    ),
    (
        "storycore_tts/entrypoints/legacy/blocking.py",
        "        threads.shutdown()",
        "        threads.shutdown(wait=False)",
        "a file appears after close has returned",
        [f"{LEGACY}::test_work_in_threads_has_ended_when_it_is_closed"],
    ),
    (
        "storycore_tts/entrypoints/legacy/blocking.py",
        "work, self._loop or self._begin())",
        "work, self._begin())",
        "every call opens connections of its own",
        [LEGACY],
    ),
    (
        "storycore_tts/entrypoints/legacy/integration.py",
        "        except TTSError as error:\n            self.last_error = error",
        "        except Exception as error:\n            self.last_error = error",
        "a mistake in the program is swallowed by the old class",
        [LEGACY],
    ),
    (
        "storycore_tts/entrypoints/sizes.py",
        "                stack.push_async_callback(service.aclose)",
        "                await service.aclose()",
        "a close that is cancelled leaves the other model size open",
        ["tests/storycore/test_sizes.py"],
    ),
    (
        "storycore_tts/entrypoints/sizes.py",
        "            opened = tuple(self._services.items())",
        "            opened = ()",
        "model sizes that are open keep the old settings",
        ["tests/storycore/test_toggle.py"],
    ),
    (
        "storycore_tts/entrypoints/sizes.py",
        "shared=_ADAPTERS",
        "shared=SharedAdapters()",
        "the engine opens a connection for every job",
        [PRODUCTION],
    ),
    (
        "storycore_tts/entrypoints/client.py",
        "    except (OSError, ValueError):",
        "    except ValueError:",
        "a recording with a name that is too long raises an untyped error",
        ["tests/legacy/test_old_package.py"],
    ),
    (
        "storycore_tts/entrypoints/client.py",
        'values.update(backend="comfyui", rollout=None)',
        "values.update(rollout=None)",
        "the ComfyUI client asks another backend where the settings name one",
        ["tests/legacy/test_old_package.py"],
    ),
    (
        "storycore_tts/entrypoints/storycore/editor.py",
        "        await speaking.aclose()",
        "        pass",
        "uninstalling leaves the backend open",
        ["tests/storycore/test_sizes.py"],
    ),
    (
        "storycore_tts/entrypoints/storycore/lines.py",
        "form = rendering(output_path, speed=speed, pitch=pitch)",
        "form = rendering(output_path, speed=speed)",
        "the editor's pitch is ignored",
        [EDITOR],
    ),
    (
        "storycore_tts/entrypoints/storycore/production.py",
        '    _tell("speak", error)\n    return QwenTTSGenerationResult(False,',
        '    _tell("speak", error)\n    return QwenTTSGenerationResult(True,',
        "a line that failed is a success",
        [PRODUCTION],
    ),
    (
        "storycore_tts/entrypoints/storycore/router.py",
        "route_class=KeyedRoute, ",
        "",
        "the engine's own route asks for no key",
        ["tests/storycore/test_router.py"],
    ),
    (
        "storycore_tts/entrypoints/cli/interrupts.py",
        "        finally:\n            signals.check()\n",
        "        finally:\n            pass\n",
        "Ctrl-C is lost when it comes while a package is imported",
        ["tests/cli/test_interruption.py"],
    ),
    (
        "storycore_tts/entrypoints/cli/targets.py",
        "if path.is_file() and not output.force:",
        "if path.is_dir() and not output.force:",
        "say writes over a file that is there",
        ["tests/cli/test_say.py::test_a_file_is_written_over_on_request_only"],
    ),
    (
        "storycore_tts/adapters/comfyui/transport/http_errors.py",
        "            retry_after = _NAME_IS_UNKNOWN_FOR\n",
        "",
        "a host name that does not exist is looked up three times",
        ["tests/comfyui/test_network_errors.py"],
    ),
]
