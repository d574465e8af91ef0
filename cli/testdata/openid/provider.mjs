// The OpenID provider (oidc-provider, a certified one) that the tests of the login
// use. PEOPLE names a file of JSON, read at every login: a person's claims by the
// person's name. The login page of the package takes any password.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const server = createServer();
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const device = (id) => ({
    client_id: id,
    application_type: 'native',
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'none',
  });
  const provider = new Provider(issuer, {
    clients: [device('sprout'), device('other'), device('hasty'), device('brief')],
    conformIdTokenClaims: false, // claims are in the id token, as most providers have it
    claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'] },
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
    ttl: { DeviceCode: (ctx, token, client) => (client.clientId === 'hasty' ? 1 : 600), IdToken: (ctx, token, client) => (client.clientId === 'brief' ? 1 : 300) },
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, ...JSON.parse(readFileSync(process.env.PEOPLE))[id] }),
    }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
