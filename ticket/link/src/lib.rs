//! QUIC links between members: identity, dialling, datagrams, statistics.
