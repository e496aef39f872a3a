"""The contract that all adapters keep."""

import pytest_asyncio
from storycore_tts_hum import create

from storycore_tts import QwenTTSConfig
from storycore_tts.testing.contract import AdapterContract


class TestHum(AdapterContract):
    @pytest_asyncio.fixture
    async def adapter(self):
        adapter = create(QwenTTSConfig(hum={"pitch": 220.0}))
        yield adapter
        await adapter.aclose()
