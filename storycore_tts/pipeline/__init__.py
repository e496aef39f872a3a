"""What each call passes on its way from a service to an adapter.

Middleware is plain: an async function, or an object with ``__call__``, that takes a ``Call`` and
the next step, and returns the result. It works for any operation of any port. From the outside in,
as the container puts it together:

``Observer`` tells listeners how each call ended; ``Switching`` replaces what is below it while
calls are under way; ``Rollout`` sends each call to one of two backends; ``Fallback`` tries other
backends while one is unavailable; ``Retry`` tries again; ``Breaker`` remembers that a backend is
unavailable; ``Dispatcher`` calls the adapter's method, refuses bad audio (``audio_gate``), and
warns of parameters that the adapter does not take (``ignored``).
``SharedBackends`` keeps one backend for all users of the same settings.
"""
