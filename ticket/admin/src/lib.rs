//! The control socket: requests, answers, client.
