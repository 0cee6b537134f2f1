"""Turn other people's notebooks into pipelines: `suggest` proposes tasks for a notebook without tags."""
