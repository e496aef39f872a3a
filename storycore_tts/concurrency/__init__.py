"""Waits and lookups for asyncio.

They guarantee that a cancellation of the caller is never swallowed, that no task is left running,
and that asyncio never logs "exception was never retrieved".
"""
