"""Objects that are closed when their ``async with`` block ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from typing_extensions import Self


class AsyncCloseable(ABC):
    """An async context manager that calls its own ``aclose`` at the end of the block."""

    @abstractmethod
    async def aclose(self) -> None:
        """Release all resources."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
