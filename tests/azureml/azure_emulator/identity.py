"""Entra ID: tokens for a service principal and for a job's managed identity; Key Vault."""

from __future__ import annotations

import base64
import json
import time

from azure_emulator.web import Answer, Refused, Request, Web

TENANT = "11111111-1111-1111-1111-111111111111"


def make_token(audience: str, tenant: str = TENANT) -> str:
    """A JWT whose signature nobody looks at: azure-identity does not, and Azurite does not either."""
    now = int(time.time())
    claims = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{tenant}/",
        "tid": tenant,
        "oid": "22222222-2222-2222-2222-222222222222",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
    }
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    return ".".join([*(_encoded(json.dumps(part).encode()) for part in parts), _encoded(b"unsigned")])


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Identity:
    """secret: of the service principal; another one is refused. expired: as if the right one had run out."""

    def __init__(self, web: Web, login: tuple[str, ...], secret: str) -> None:
        self.secret = secret
        self.expired = False
        self.machine_secret = "emulated-machine-identity"
        web.route("GET", r"/([^/]+)/v2\.0/\.well-known/openid-configuration", self._configuration)
        web.route("GET", r"/common/discovery/instance", self._discovery)
        web.route("POST", r"/([^/]+)/oauth2/v2\.0/token", self._token)
        web.route("GET", r"/MSI/token/?", self._machine_token)

    def _configuration(self, request: Request) -> Answer:
        base = f"https://{request.host}/{request.match[0]}"
        return Answer(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            }
        )

    def _discovery(self, request: Request) -> Answer:
        host = request.host
        endpoint = f"https://{host}/{TENANT}/v2.0/.well-known/openid-configuration"
        names = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        return Answer({"tenant_discovery_endpoint": endpoint, "metadata": [names]})

    def _token(self, request: Request) -> Answer:
        given = request.body or {}
        if self.expired or given.get("client_secret") != self.secret:
            what = (
                "AADSTS7000222: The provided client secret keys for app are expired."
                if self.expired
                else "AADSTS7000215: Invalid client secret provided."
            )
            return Answer(
                {"error": "invalid_client", "error_description": what, "error_codes": [7000222]}, 401
            )
        audience = str(given.get("scope", "")).split(" ")[0].removesuffix("/.default")
        return Answer({"token_type": "Bearer", "expires_in": 3600, "access_token": make_token(audience)})

    def _machine_token(self, request: Request) -> Answer:
        if request.headers.get("secret") != self.machine_secret:
            raise Refused(401, "Unauthorized", "The secret header is wrong.")
        token = make_token(request.query.get("resource", ""))
        expires = str(int(time.time()) + 3600)
        return Answer({"access_token": token, "expires_on": expires, "token_type": "Bearer"})


class Vault:
    """Key vaults by host; secrets by name."""

    def __init__(self, web: Web, login: str) -> None:
        self._login = login
        self.secrets: dict[str, str] = {}
        web.route("GET", r"/secrets/([^/]+)(?:/([^/]*))?/?", self._secret)

    def _secret(self, request: Request) -> Answer:
        vault, domain = request.host.split(".", 1)
        if "authorization" not in request.headers:
            challenge = f'Bearer authorization="https://{self._login}/{TENANT}", resource="https://{domain}"'
            refusal = Refused(401, "Unauthorized", "A token is needed.", {"WWW-Authenticate": challenge})
            raise refusal
        name = request.match[0]
        value = self.secrets.get(f"{vault}/{name}")
        if value is None:
            raise Refused(
                404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault."
            )
        return Answer(
            {
                "value": value,
                "id": f"https://{request.host}/secrets/{name}/1",
                "attributes": {"enabled": True},
            }
        )
