"""The config file, `litefs.yml`: found, expanded, read and judged.

    load.py --> expand.py (${VARIABLES}) --> yaml.py (text to keys, each with its line) --> model.py (Config)

The rule: a file written for LiteFS is read unchanged, and every error names file, line and key. Read
model.py first: it says all that a file can hold. The rest of the program takes everything from here, not
from the parts.
"""

from pylitefs.config.load import (
    BackupConfig,
    Config,
    ConsulConfig,
    DataConfig,
    ExecCommand,
    FuseConfig,
    HttpConfig,
    LeaseConfig,
    Loaded,
    LogConfig,
    ProxyConfig,
    TracingConfig,
    check_mountable,
    find_config,
    load_config,
    parse_duration,
)

__all__ = [
    "BackupConfig",
    "Config",
    "ConsulConfig",
    "DataConfig",
    "ExecCommand",
    "FuseConfig",
    "HttpConfig",
    "LeaseConfig",
    "Loaded",
    "LogConfig",
    "ProxyConfig",
    "TracingConfig",
    "check_mountable",
    "find_config",
    "load_config",
    "parse_duration",
]
