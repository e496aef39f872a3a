"""Mono sound as numbers and as files: measured, encoded, decoded, stretched, streamed."""
