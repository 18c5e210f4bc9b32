"""The operating system: processes and who they are, services that are kept alive, ports and HTTP on loopback."""
