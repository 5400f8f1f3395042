"""Azure on loopback: what azure-ai-ml, azure-identity and azure-keyvault-secrets ask, answered in this
process; storage by a real Azurite; jobs as processes of their own. `Cloud` holds all of it.

Responses are made so that the real client works with them: they prove the client, not the service.
"""

from azure_emulator.cloud import Cloud, Missing, why_not

__all__ = ["Cloud", "Missing", "why_not"]
