"""Adapters around adapters: what makes a backend dependable, whichever it is.

Each one is an adapter with all ports, knows nothing but ports, and does one thing. From the outside
in, as the container puts them together:

``Observed`` tells listeners how each request ended; ``Switching`` changes what is under it while
requests are under way; ``Rollout`` sends each request to one of two backends; ``Fallback`` asks
another backend when one is unavailable; ``Retrying`` asks again; ``Breaker`` remembers that a
backend is down; ``SharedAdapters`` keeps one adapter for all who use the same.
"""

from storycore_tts.adapters.resilience.breaker import Breaker, BreakerPolicy
from storycore_tts.adapters.resilience.fallback import Fallback
from storycore_tts.adapters.resilience.layers import Layer
from storycore_tts.adapters.resilience.observed import Observed
from storycore_tts.adapters.resilience.retry import Retrying, RetryPolicy
from storycore_tts.adapters.resilience.rollout import Rollout, is_in_share, routing_key
from storycore_tts.adapters.resilience.sharing import SharedAdapters
from storycore_tts.adapters.resilience.switching import Switching

__all__ = [
    "Breaker",
    "BreakerPolicy",
    "Fallback",
    "Layer",
    "Observed",
    "RetryPolicy",
    "Retrying",
    "Rollout",
    "SharedAdapters",
    "Switching",
    "is_in_share",
    "routing_key",
]
