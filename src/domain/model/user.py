"""Users of identity providers (OpenID Connect), and their sessions.

Rule of the file: what the claims of a user mean here is decided by :class:`Issuer`;
that the claims are genuine was checked before.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from galaxy_jobs.domain.errors import BadToken, InvalidValue, NoPermission
from galaxy_jobs.domain.model.token import NAME_LENGTH, Scope, TokenId, digest_of
from galaxy_jobs.domain.model.values import aware
from galaxy_jobs.domain.model.viewer import Sees, Viewer


SUBJECT_LENGTH = 255
"""The longest subject that OpenID Connect allows, in characters."""

_LOCAL = r"localhost|127\.0\.0\.1|\[::1\]"
_ADDRESS = re.compile(
    rf"(https://[A-Za-z0-9.\-\[\]:]+|http://({_LOCAL})(:[0-9]+)?)(/[!-~]*)?"
)


def is_secure(url: str) -> bool:
    """Return whether an address is of HTTPS, or of HTTP on this machine."""
    return bool(_ADDRESS.fullmatch(url))


@frozen(kw_only=True)
class User:
    """A user whom an identity provider has authenticated.

    Attributes:
        owner: Of what they make: the issuer and its subject, such as
            ``https://login.example.org|248289761001``.
        name: For people.
        scope: Their permissions.
        sees: Whose objects they see; with the scope `admin`, those of all owners.
        expires_at: When their token or session stops being valid.
        session_id: The id of their session; None: they sent a token of the issuer.
    """

    owner: str
    name: str
    scope: Scope
    sees: Sees
    expires_at: datetime = field(validator=aware)
    session_id: TokenId | None = None

    @property
    def issuer(self) -> str:
        """The identity provider, by its address."""
        return self.owner.partition("|")[0]

    @property
    def token_id(self) -> TokenId:
        """What names them in logs, rates and idempotency keys: their owner."""
        return TokenId(self.owner)

    @property
    def viewer(self) -> Viewer:
        """The viewer that their requests speak for."""
        sees_all = self.sees is Sees.ALL or self.scope is Scope.ADMIN
        return Viewer(owner=self.owner, sees_all=sees_all)


@frozen(kw_only=True)
class Session:
    """A user who has signed in to the pages, as it is stored.

    Attributes:
        session_id: Its public id, a part of its text.
        digest: Of its text, in hexadecimal digits.
        user: Who has signed in; `expires_at` is that of the session.
    """

    session_id: TokenId
    digest: str = field(repr=False)
    user: User

    def fits(self, text: str) -> bool:
        """Return, in constant time, whether this is the session's text."""
        return hmac.compare_digest(self.digest, digest_of(text))


@frozen(kw_only=True)
class Issuer:
    """An identity provider that is trusted, and what its claims mean here.

    Attributes:
        issuer: Its address, exactly as in the claim ``iss``.
        audience: What the claim ``aud`` of its tokens has to contain.
        scopes: The permissions by the values of the scope claim; of several that a
            token carries, the widest counts.
        scope_claim: The claim with these values: a list, or a text with spaces.
        owner_claim: The claim with the name of a user, for people.
        sees: Whose objects its users see.
        client_id: The client as which users sign in to the pages; None: they do not.
        parameters: Further parameters of the requests to sign in.
    """

    issuer: str = field()
    audience: str
    scopes: Mapping[str, Scope] = field()
    scope_claim: str = "scope"
    owner_claim: str = "preferred_username"
    sees: Sees = Sees.OWN
    client_id: str | None = None
    parameters: Mapping[str, str] = field(factory=dict)

    @issuer.validator
    def _check_issuer(self, _: object, value: str) -> None:
        if not is_secure(value) or "|" in value:
            raise InvalidValue(
                f"issuer is {value!r}; expected an https address (http on this "
                "machine only), exactly as in the claim `iss`."
            )

    @scopes.validator
    def _check_scopes(self, _: object, value: Mapping[str, Scope]) -> None:
        if not value:
            raise InvalidValue("scopes is empty; expected at least one.")

    @property
    def requested_scope(self) -> str:
        """The ``scope`` of a request to sign in."""
        named = self.scopes if self.scope_claim in {"scope", "scp"} else ()
        return " ".join(dict.fromkeys(("openid", "profile", *named)))

    def user(self, claims: Mapping[str, object]) -> User:
        """Return the user of claims that are genuine.

        Raises:
            BadToken: The subject or the time of expiry is none.
            NoPermission: They carry none of the scopes.
        """
        subject, expiry = claims.get("sub"), claims.get("exp")
        if not isinstance(subject, str) or not isinstance(expiry, int | float):
            raise BadToken
        if not 0 < len(subject) <= SUBJECT_LENGTH or not subject.isprintable():
            raise BadToken
        try:
            expires_at = datetime.fromtimestamp(expiry).astimezone()
        except (ValueError, OverflowError, OSError):
            raise BadToken from None
        name = claims.get(self.owner_claim)
        if not isinstance(name, str) or not name.isprintable() or not name:
            name = subject
        return User(
            owner=self.owner(subject),
            name=name[:NAME_LENGTH],
            scope=self._scope(claims.get(self.scope_claim), name),
            sees=self.sees,
            expires_at=expires_at,
        )

    def owner(self, subject: str) -> str:
        """Return the owner of what the user of that subject makes."""
        return f"{self.issuer}|{subject}"

    def _scope(self, values: object, name: str) -> Scope:
        if isinstance(values, str):
            values = values.split()
        carried = values if isinstance(values, list) else []
        order = list(Scope)
        scopes = [
            self.scopes[value]
            for value in carried
            if isinstance(value, str) and value in self.scopes
        ]
        if not scopes:
            raise NoPermission(name, [*self.scopes])
        return max(scopes, key=order.index)
