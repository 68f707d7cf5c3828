//! Tests that need root, namespaces or Debian packages.
