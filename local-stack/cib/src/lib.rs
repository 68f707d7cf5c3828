//! The cluster information base: Pacemaker's XML vocabulary, a typed model inside. Pure.
