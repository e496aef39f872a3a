"""The middleware pipeline between a service and an adapter.

Middleware is an async function, or an object with ``__call__``, that takes a ``Call`` and the next
step and returns the result. It works for any operation of any port. From the outside in, as the
container assembles it:

``Observer`` notifies listeners how each call ended; ``ConsentCheck`` refuses voices without
consent; ``Switching`` replaces the inner backend while calls are in progress; ``Rollout`` routes
each call to one of two backends; ``Fallback`` tries other backends while one is unavailable;
``Retry`` retries failed calls; ``Breaker`` rejects calls while a backend is unavailable;
``Dispatcher`` calls the adapter's method, rejects bad audio (``audio_gate``), and warns about
parameters that the adapter does not support (``ignored``).
``SharedBackends`` shares one backend between all users of the same settings.
"""
