"""Galaxy servers, through BioBlend."""

from galaxy_jobs.adapters.galaxy.adapter import About, Galaxy


__all__ = ["About", "Galaxy"]
