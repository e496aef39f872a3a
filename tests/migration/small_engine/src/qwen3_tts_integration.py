#!/usr/bin/env python3
"""Intégration."""


class Qwen3TTSIntegration:
    """Ne parle pas encore."""


def main():
    Qwen3TTSIntegration()
