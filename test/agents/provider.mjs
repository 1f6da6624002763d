// An independent OpenID provider (npm oidc-provider) for the tests of this folder: authorization code with PKCE, JWT access tokens of type
// at+jwt for the gate. Whoever login_hint names is signed in.
import { createServer } from "node:https";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";

const { PORT, CERT, KEY, AUDIENCE, MODULES } = process.env;
const { default: Provider } = await import(`${MODULES}/oidc-provider/lib/index.js`);

const issuer = `https://localhost:${PORT}`;
const signing = (type, options, extra) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }), use: "sig", ...extra });

const provider = new Provider(issuer, {
  clients: [{
    client_id: "node-cli", redirect_uris: ["http://127.0.0.1/callback"], token_endpoint_auth_method: "none", application_type: "web",
  }],
  jwks: { keys: [signing("ec", { namedCurve: "P-256" }, { kid: "node-1", alg: "ES256" }), signing("rsa", { modulusLength: 2048 }, { kid: "node-2", alg: "RS256" })] },
  cookies: { keys: ["a key of a test"] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => AUDIENCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: "cosmos.read", audience: AUDIENCE, accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } }),
    },
  },
  interactions: { url: (_, interaction) => `/sign-in/${interaction.uid}` },
  async loadExistingGrant(ctx) {
    const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid");
    grant.addResourceScope(AUDIENCE, "cosmos.read");
    await grant.save();
    return grant;
  },
});

createServer({ cert: readFileSync(CERT), key: readFileSync(KEY) }, async (req, res) => {
  if (!req.url.startsWith("/sign-in/")) return provider.callback()(req, res);
  try {
    const { params } = await provider.interactionDetails(req, res);
    await provider.interactionFinished(req, res, { login: { accountId: params.login_hint } });
  } catch (error) {
    res.writeHead(400).end(String(error));
  }
}).listen(Number(PORT), "127.0.0.1", () => console.log("ready"));
