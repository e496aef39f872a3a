"""Waits and lookups for asyncio, used by services, adapters and entry points alike.

Each of them keeps three promises: a cancellation of the caller is never swallowed, no task is left
behind, and asyncio never logs that an exception was not retrieved.
"""
