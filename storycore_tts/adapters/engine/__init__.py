"""StoryCore-Engine's side: character sheets, dialogues, and the timeline of a project."""
