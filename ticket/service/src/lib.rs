//! The one event loop around the ticket protocol.
