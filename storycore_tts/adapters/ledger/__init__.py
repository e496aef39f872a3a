"""The ledger: an append-only record of the sound files that were made.

A file of JSON lines rather than a database. A record costs half of what an SQLite transaction
costs; anyone can check the chain with ``sha256sum``; and damage stays where it is, so that every
record outside it can still be read.
"""

from storycore_tts.adapters.ledger.chain import Head, Verdict
from storycore_tts.adapters.ledger.ledger import Ledger

__all__ = ["Head", "Ledger", "Verdict"]
