"""Reads character sheets and dialogues of StoryCore-Engine, and posts clips to its timeline."""
