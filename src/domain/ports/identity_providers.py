"""The port to the identity providers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol

from galaxy_jobs.domain.model.user import User


class IdentityProviders(Protocol):
    """The identity providers whose users are let in (OpenID Connect).

    Every method may be called from several threads at once. Those that ask a provider
    end within seconds, whatever it does. While it cannot be asked, tokens that its
    known keys have signed are verified as ever.
    """

    @property
    @abstractmethod
    def issuers(self) -> Collection[str]:
        """The issuers that are trusted."""

    @property
    @abstractmethod
    def offering_sign_in(self) -> Collection[str]:
        """The issuers at which users can sign in to the pages."""

    @abstractmethod
    def key_count(self, issuer: str) -> int:
        """Return the number of keys of a trusted issuer, asking it if none are known.

        Raises:
            IssuerUnavailable: It could not be asked.
        """

    @abstractmethod
    def verify(self, text: str) -> User:
        """Return the user of a token (JWT).

        Its signature is verified once. Until it expires, a repetition costs next to
        nothing.

        Raises:
            BadToken: An issuer that is not trusted, a signature that is not the
                issuer's, claims that are missing or wrong, or one that is not valid
                now.
            NoPermission: It is valid, and carries no scope that is known here.
            IssuerUnavailable: Its key is not known, and the issuer cannot be asked
                for it now.
        """

    @abstractmethod
    def sign_in_url(self, issuer: str, secret: str, redirect_uri: str) -> str:
        """Return where a browser is sent to sign in.

        Args:
            issuer: One of those that offer it.
            secret: At least 32 random bytes, as text, that this browser alone keeps
                until it comes back.
            redirect_uri: Where it comes back to.

        Raises:
            SignInRefused: That issuer does not offer it.
            IssuerUnavailable: It could not be asked.
        """

    @abstractmethod
    def signed_in(
        self, issuer: str, secret: str, redirect_uri: str, response: Mapping[str, str]
    ) -> User:
        """Return the user of a browser that comes back.

        Args:
            issuer: As before.
            secret: As before.
            redirect_uri: As before.
            response: The parameters that it brings.

        Raises:
            SignInRefused: The response does not answer a request of this browser, or
                the issuer does not confirm it.
            NoPermission: The user has no permission here.
            IssuerUnavailable: It could not be asked.
        """
