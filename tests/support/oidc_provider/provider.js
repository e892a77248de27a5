// A real OpenID Connect provider for the tests: any name and password will do.
// Usage: node provider.js; prints its address.
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const audience = "https://jobs.example.org";
const scopes = "jobs:read jobs:submit";

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "portal",
      client_secret: "a secret",
      grant_types: ["client_credentials"],
      response_types: [],
      redirect_uris: [],
    },
    {
      client_id: "galaxy-jobs",
      token_endpoint_auth_method: "none",
      // On whatever port: RFC 8252, 7.3.
      application_type: "native",
      redirect_uris: ["http://127.0.0.1/sign-in/callback"],
    },
  ],
  claims: { openid: ["sub"], profile: ["preferred_username"] },
  scopes: ["openid", "profile"],
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id }),
  }),
  extraTokenClaims: (_, token) =>
    token.accountId && { preferred_username: token.accountId },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: scopes,
        audience,
        accessTokenFormat: "jwt",
        accessTokenTTL: 300,
      }),
    },
  },
  jwks: {
    keys: [
      await crypto.subtle
        .generateKey(
          { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, hash: "SHA-256",
            publicExponent: new Uint8Array([1, 0, 1]) },
          true,
          ["sign", "verify"],
        )
        .then(({ privateKey }) => crypto.subtle.exportKey("jwk", privateKey))
        .then((key) => ({ kty: key.kty, n: key.n, e: key.e, d: key.d, p: key.p,
          q: key.q, dp: key.dp, dq: key.dq, qi: key.qi, alg: "RS256", use: "sig" })),
    ],
  },
  cookies: { keys: ["of the tests"] },
});
server.on("request", provider.callback());
console.log(issuer);
