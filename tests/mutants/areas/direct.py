"""The direct and the draft backend."""

POOL = "storycore_tts/adapters/direct/pool.py"
JOBS = "storycore_tts/adapters/direct/speech_jobs.py"
LOOKUPS = "storycore_tts/adapters/direct/lookups.py"
BATCHING = "storycore_tts/adapters/direct/batching.py"
WATCH = "storycore_tts/adapters/direct/watch.py"
LOADING = "storycore_tts/adapters/direct/loading.py"
TRAINING = "storycore_tts/adapters/direct/training/job.py"
DRAFT = "storycore_tts/adapters/draft/calls.py"
POOL_TESTS = "tests/unit/direct/test_pool.py"
LEAVING_TESTS = "tests/unit/direct/test_leaving.py"
DRAFT_TESTS = "tests/unit/draft/test_adapter.py"

MUTANTS = [
    (
        WATCH,
        "((layers[-1][:, -1:].clone(),), codes)",
        "(layers, codes)",
        "every layer's state of a long batch fills the memory",
        ["tests/unit/direct/test_speaking.py"],
    ),
    (
        POOL,
        "batch[:half], batch[half:]",
        "batch,",
        "a batch that does not fit is tried again as it was",
        [POOL_TESTS],
    ),
    (
        LOADING,
        "        guard.check(tts.model, folder)\n",
        "",
        "a model that was loaded wrongly speaks",
        ["tests/unit/direct/test_guard.py"],
    ),
    (
        TRAINING,
        'device=self.device, dtype="float32"',
        'device=self.device, dtype=str(dtype).removeprefix("torch.")',
        "most updates of a training in bf16 vanish",
        ["tests/unit/direct_training/test_training.py"],
    ),
    (
        POOL,
        "idle = (model for model in self._loaded_models() if not model.waiting)",
        "idle = (model for model in self._loaded_models())",
        "a model that a line waits for is unloaded",
        [POOL_TESTS],
    ),
    (
        POOL,
        "                waiting.remove(cancelled)\n",
        "                pass\n",
        "cancelled lines fill the memory while another one is spoken",
        [POOL_TESTS],
    ),
    (
        POOL,
        "        self._turn.look_again()\n\n    # In the pool",
        "\n    # In the pool",
        "a cancelled training keeps its thread while another pool trains",
        [POOL_TESTS],
    ),
    (
        POOL,
        "batch = [job for job in batch if not job.cancelled]  # may change during loading",
        "pass",
        "a line that was cancelled while its model loaded is spoken",
        [POOL_TESTS],
    ),
    (
        POOL,
        "if self._others_wait(model) and model.waiting[0].arrival > began:",
        "if False:",
        "a busy model keeps the others waiting without end",
        [POOL_TESTS],
    ),
    (
        POOL,
        "key=lambda model: bool(model.waiting)",
        "key=lambda model: 0",
        "the model that the next line waits for makes room",
        [POOL_TESTS],
    ),
    (
        POOL,
        "@atexit.register\n",
        "",
        "a program that forgets to close cuts torch off in the middle",
        [LEAVING_TESTS],
    ),
    (
        JOBS,
        "if full and isinstance(self._mail[-1], Progress):",
        "if False:",
        "unread progress has no bound",
        [POOL_TESTS],
    ),
    (
        LOOKUPS,
        "asyncio.shield(answer)",
        "answer",
        "one caller's cancellation takes the answer from all others",
        [LEAVING_TESTS],
    ),
    (
        LOOKUPS,
        "            shared = self._running.get(key)\n",
        "            shared = None\n",
        "each of twenty first calls asks the Hub",
        [LEAVING_TESTS],
    ),
    (
        BATCHING,
        "[job for job in waiting if not job.alone and ",
        "[job for job in waiting if ",
        "a seeded line is spoken in a batch, with the seed of another one",
        ["tests/unit/direct/test_batching.py"],
    ),
    (
        JOBS,
        "return (self.reference is None, self.x_vector_only, drawn)",
        "return (self.reference is None, drawn)",
        "clones with and without a transcript share a batch",
        ["tests/unit/direct/test_batching.py"],
    ),
    (
        DRAFT,
        " or not threading.main_thread().is_alive()",
        "",
        "a program that forgets to close waits for the end of the text",
        [DRAFT_TESTS],
    ),
    (
        DRAFT,
        "return self._left or self._closed()",
        "return self._closed()",
        "a cancelled call is spoken to its end",
        [DRAFT_TESTS],
    ),
]
