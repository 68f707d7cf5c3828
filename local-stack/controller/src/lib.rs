//! Executes transitions and keeps history. Sans-io.
