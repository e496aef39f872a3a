"""What this package speaks about, free of any backend: requests, speech, voices, errors."""
