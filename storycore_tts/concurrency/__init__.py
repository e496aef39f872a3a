"""Waits and lookups for asyncio, and locks between processes.

The waits guarantee that a cancellation of the caller is never swallowed, that no task is left
running, and that asyncio never logs "exception was never retrieved".
"""
