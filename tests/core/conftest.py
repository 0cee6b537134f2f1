"""Properties are about what is so, not about how fast a loaded machine finds out."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
