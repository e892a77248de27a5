"""The real Galaxy, through BioBlend."""

from galaxy_jobs.adapters.galaxy.adapter import Galaxy


__all__ = ["Galaxy"]
