"""Create and revoke tokens, and authenticate with them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from attrs import field, frozen

from galaxy_jobs.domain.errors import BadLink, BadToken, InvalidValue, TokenNotFound
from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.token import (
    ENTROPY,
    SESSION,
    Scope,
    Token,
    TokenId,
    digest_of,
    id_in,
    is_jwt,
    text_of,
)
from galaxy_jobs.domain.model.user import Session, User
from galaxy_jobs.domain.model.viewer import SERVICE, Sees
from galaxy_jobs.domain.ports import (
    Clock,
    IdentityProviders,
    SessionRepository,
    TokenRepository,
)
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record


MAX_LIFETIME = timedelta(days=36_500)
"""The longest lifetime of a token that expires."""

SESSION_LIFETIME = timedelta(hours=12)
"""The lifetime of a session, whatever the tokens of the identity provider have."""


@frozen
class NewToken:
    """A new token.

    Attributes:
        token: The token as it is stored.
        text: The secret text for the client; it cannot be read again.
    """

    token: Token
    text: str = field(repr=False)


@frozen
class CreateToken:
    """Creates a token. From the first one on, every request needs one."""

    tokens: TokenRepository
    clock: Clock
    entropy: Callable[[int], bytes] = secrets.token_bytes
    record: Recorder = no_record

    def __call__(
        self,
        name: str,
        scope: Scope,
        lifetime: timedelta | None = None,
        *,
        sees: Sees = Sees.ALL,
    ) -> NewToken:
        """Create a token.

        Args:
            name: For people, and the owner of what is made with it.
            scope: Its permissions.
            lifetime: For how long it is valid; None: until it is revoked.
            sees: Whose objects it sees.

        Raises:
            InvalidValue: A name that is empty, too long or cannot be printed, or
                a lifetime that is not above zero and up to a century, or
                the scope `admin` for one that sees its own objects only.
            TokenExists: Another token that is not revoked has that name.
        """
        if lifetime is not None and not timedelta(0) < lifetime <= MAX_LIFETIME:
            raise InvalidValue(
                f"A token cannot expire after {lifetime / timedelta(days=1):g} days; "
                f"expected more than 0, up to {MAX_LIFETIME.days}."
            )
        if scope is Scope.ADMIN and sees is Sees.OWN:
            raise InvalidValue("A token with the scope 'admin' sees all.")
        text = text_of(self.entropy(ENTROPY))
        token_id = id_in(text)
        assert token_id is not None
        token = Token(
            token_id=token_id,
            name=name,
            scope=scope,
            sees=sees,
            digest=digest_of(text),
            created_at=self.clock(),
        )
        stored = self.tokens.add(token, lifetime)
        self.record(SERVICE, Action.CREATE, Kind.TOKEN, token_id)
        return NewToken(stored, text)


@frozen
class ListTokens:
    """Lists tokens."""

    tokens: TokenRepository

    def __call__(self) -> Sequence[Token]:
        """Return all tokens, newest first, those not valid any more included."""
        return self.tokens.all()


@frozen
class RevokeToken:
    """Revokes a token, for good."""

    tokens: TokenRepository
    clock: Clock
    record: Recorder = no_record

    def __call__(self, name_or_id: str) -> Token:
        """Revoke a token; one that is revoked already stays as it is.

        Args:
            name_or_id: The id of any token, or the name of one not revoked.

        Raises:
            TokenNotFound: There is none.
        """
        for token in self.tokens.all():
            if token.token_id == name_or_id or (
                token.name == name_or_id and token.revoked_at is None
            ):
                revoked = self.tokens.revoke(token.token_id, self.clock())
                self.record(SERVICE, Action.REVOKE, Kind.TOKEN, token.token_id)
                return revoked
        raise TokenNotFound(name_or_id)


@frozen
class Authenticate:
    """Finds the sender of a request by its text.

    That is a token of ours, or a user of an identity provider: by a token of the
    provider (JWT), or by a session.
    """

    tokens: TokenRepository
    sessions: SessionRepository
    providers: IdentityProviders
    clock: Clock

    def __call__(self, text: str) -> Token | User:
        """Return the token of that text, or the user whom it authenticates.

        Raises:
            BadToken: There is none, or it is revoked or expired; the error does
                not reveal which.
            NoPermission: An identity provider's user without any permission.
            IssuerUnavailable: It cannot be verified now.
        """
        if is_jwt(text):
            return self.providers.verify(text)
        session = session_of(self.sessions, text)
        if session and session.user.issuer in self.providers.issuers:
            return session.user
        token_id = id_in(text)
        token = token_id and self.tokens.in_force([token_id]).get(token_id)
        if not token or not token.fits(text):
            raise BadToken
        return token

    def in_force(self, senders: Collection[Token | User]) -> Collection[Token | User]:
        """Return those of the tokens and users that are still let in."""
        users = [it for it in senders if isinstance(it, User)]
        tokens = {it.token_id: it for it in senders if isinstance(it, Token)}
        sessions = {user.session_id: user for user in users if user.session_id}
        now = self.clock()
        return [
            *(tokens[id_] for id_ in (self.tokens.in_force(tokens) if tokens else ())),
            *(
                sessions[id_]
                for id_ in (self.sessions.in_force(sessions) if sessions else ())
            ),
            *(user for user in users if not user.session_id and now < user.expires_at),
        ]

    def maker(self, maker_id: str) -> Token | User | None:
        """Return the maker of a link, who must be let in still.

        Args:
            maker_id: As from :func:`maker_id_of`.

        Returns:
            None for a user without a session: they cannot be asked about, and their
            links end with the token that they sent.

        Raises:
            BadLink: Their token is revoked or has expired, or their session has ended.
        """
        kind, _, id_ = maker_id.partition(":")
        found: Token | Session | None = None
        if kind == _USER:
            return None
        if kind == _TOKEN:
            found = self.tokens.in_force([TokenId(id_)]).get(TokenId(id_))
        elif kind == _SESSION:
            found = self.sessions.in_force([TokenId(id_)]).get(TokenId(id_))
        if found is None:
            raise BadLink
        return found.user if isinstance(found, Session) else found

    def needed(self) -> bool:
        """Return whether requests need a token.

        They do if any was ever created, or an identity provider is trusted.
        """
        return bool(self.providers.issuers) or self.tokens.ever_made()


_TOKEN, _SESSION, _USER = "token", "session", "user"


def maker_id_of(maker: Token | User | None) -> str:
    """Return what a link names its maker by; ``""`` where no token is needed."""
    match maker:
        case None:
            return ""
        case Token():
            return f"{_TOKEN}:{maker.token_id}"
        case User(session_id=None):
            return _USER
        case User():
            return f"{_SESSION}:{maker.session_id}"


def session_of(sessions: SessionRepository, text: str) -> Session | None:
    """Return the session of that text; None: there is none in force."""
    session_id = id_in(text, SESSION)
    session = session_id and sessions.in_force([session_id]).get(session_id)
    return session if session and session.fits(text) else None


@frozen
class SignIn:
    """Gives a user whom an identity provider has authenticated a session."""

    providers: IdentityProviders
    sessions: SessionRepository
    entropy: Callable[[int], bytes] = secrets.token_bytes
    record: Recorder = no_record

    def __call__(
        self, issuer: str, secret: str, redirect_uri: str, response: Mapping[str, str]
    ) -> str:
        """Return the text of a new session; the arguments are those of ``signed_in``.

        Raises:
            SignInRefused, NoPermission, IssuerUnavailable: As ``signed_in`` does.
        """
        user = self.providers.signed_in(issuer, secret, redirect_uri, response)
        text = text_of(self.entropy(ENTROPY), SESSION)
        session_id = id_in(text, SESSION)
        assert session_id is not None
        session = Session(session_id=session_id, digest=digest_of(text), user=user)
        self.sessions.add(session, SESSION_LIFETIME)
        self.record(user.viewer, Action.SIGN_IN, Kind.SESSION, session_id)
        return text


@frozen
class SignOut:
    """Ends a session."""

    sessions: SessionRepository

    def __call__(self, text: str) -> None:
        """End the session of that text; anything else stays valid."""
        if session := session_of(self.sessions, text):
            self.sessions.remove(session.session_id)
