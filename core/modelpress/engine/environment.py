"""The environment of a worker: a list of what any Python needs, not a copy of the shell's.

What is not named here stays out: tokens of other services, passwords, whatever a shell has gathered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

NEEDED = (
    # finding programs, files and the user's folders
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TMP", "TEMP", "XDG_*", "PWD"),
    # language, time, terminal
    *("LANG", "LANGUAGE", "LC_*", "TZ", "TZDIR", "TERM", "COLUMNS", "NO_COLOR"),
    # the network: certificates and proxies
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"),
    # Python and its environments, native libraries, compilers
    *(
        "PYTHON*",
        "VIRTUAL_ENV",
        "CONDA_*",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "DYLD_*",
        "CC",
        "CXX",
        "GLIBC_TUNABLES",
    ),
    # threads and memory of native libraries
    *(
        "OMP_*",
        "GOMP_*",
        "KMP_*",
        "MKL_*",
        "OPENBLAS_*",
        "BLIS_*",
        "VECLIB_*",
        "NUMEXPR_*",
        "DNNL_*",
        "ONEDNN_*",
    ),
    *("MALLOC_*", "RAYON_*", "NUMBER_OF_PROCESSORS", "PROCESSOR_*"),
    # Windows
    *(
        "SYSTEMROOT",
        "SYSTEMDRIVE",
        "WINDIR",
        "COMSPEC",
        "PATHEXT",
        "OS",
        "USERNAME",
        "USERPROFILE",
        "USERDOMAIN",
    ),
    *("HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "ALLUSERSPROFILE", "PUBLIC"),
    *("PROGRAMFILES*", "PROGRAMW6432", "COMMONPROGRAM*", "COMPUTERNAME"),
    "MODELPRESS_*",
)
"""Patterns of names. Case does not count: Windows has `Path`, and proxies are often written small."""


def worker_environment(
    variables: Mapping[str, str] | Iterable[str] = (), also: Iterable[str] = ()
) -> dict[str, str]:
    """The environment of a process that is to do work on this machine.

    variables: what the user adds: names of variables of this process, or names with values
    also:      patterns beside NEEDED, of what a system's or a plugin's libraries look at
    """
    patterns = [pattern.upper() for pattern in (*NEEDED, *also)]
    found = {
        name: value
        for name, value in os.environ.items()
        if any(fnmatchcase(name.upper(), pattern) for pattern in patterns)
    }
    if isinstance(variables, Mapping):
        return {**found, **variables}
    return {**found, **{name: os.environ[name] for name in variables if name in os.environ}}
