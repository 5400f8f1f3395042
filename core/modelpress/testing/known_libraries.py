"""The tests that has to stand whatever a plugin says of a library.

class TestAcmeHub(LibraryContract):
    library_name = "acme-hub"
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import ClassVar

from modelpress.engine.process import child_environment, import_path
from modelpress.registry import Registered, Registry
from modelpress.specs import LibrarySpec
from modelpress.testing.contract import Contract
from modelpress.testing.heavy import HEAVY

_PLANTED = "planted-secret-of-the-contract"
_CHECK = """
import json, socket, sys
from modelpress.registry import Registry
from modelpress.specs import LibrarySpec
def refuse(*_):
    raise AssertionError("the check asks the network")
socket.socket.connect = socket.getaddrinfo = refuse
entry = Registry.load().find(LibrarySpec, sys.argv[1])
found = entry.call(entry.spec.check)
print("\\n" + json.dumps([[f"{f.area} {f.text} {f.hint}" for f in found], sorted(sys.modules)]))
"""


class LibraryContract(Contract[LibrarySpec]):
    """Subclass it in a test module and name the library; pytest does the rest."""

    library_name: ClassVar[str] = ""
    secrets: ClassVar[Mapping[str, str]] = {}
    """Environment variables in which the library looks for secrets -> a value; the check must not tell it."""

    def find(self, registry: Registry) -> Registered[LibrarySpec]:
        return registry.find(LibrarySpec, self.library_name)

    def test_it_says_something_of_the_library(self, registered: Registered[LibrarySpec]) -> None:
        assert registered.spec.offline or registered.spec.check, "give it `offline` or `check`"

    def test_its_check_answers_anywhere(self, registered: Registered[LibrarySpec]) -> None:
        """Without a network and heavy libraries, whether or not the library is installed; and tells no
        secret."""
        if not registered.spec.check:
            return
        secrets = dict.fromkeys(self.secrets, _PLANTED)
        done = subprocess.run(
            [sys.executable, "-c", _CHECK, self.library_name],
            env=child_environment({**os.environ, "PYTHONPATH": import_path(), **self.secrets, **secrets}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        texts, modules = json.loads(done.stdout.splitlines()[-1])
        assert set(modules) & set(HEAVY) == set(), "doctor would wait for it"
        assert _PLANTED not in done.stdout + done.stderr
        assert all(text.isprintable() for text in texts)
