"""Mono audio: measuring, encoding, decoding, time-stretching and streaming."""
