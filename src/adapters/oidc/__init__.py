"""Identity providers over OpenID Connect; PyJWT verifies their tokens."""

from galaxy_jobs.adapters.oidc.providers import OidcProviders


__all__ = ["OidcProviders"]
