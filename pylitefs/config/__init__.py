"""The config file, `litefs.yml`: found, expanded, read and judged."""

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
